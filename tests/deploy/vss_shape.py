"""Where the shapes of VSS's deployment lie, and the paths that its variables name."""

from pathlib import Path

VSS = Path(__file__).parents[1] / "vss" / "deploy"
VSS_ENV = {
    "VLM_AS_VERIFIER_CONFIG_FILE": "/vss/config.yml",
    "VLM_AS_VERIFIER_CONFIG_FILE_REALTIME": "/vss/realtime-config.yml",
    "VLM_AS_VERIFIER_ALERT_TYPE_CONFIG_FILE": "/vss/alert_type_config.json",
    "VSS_APPS_DIR": "/vss",
    "MDX_SAMPLE_APPS_DIR": "/vss",
}
