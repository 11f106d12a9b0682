{{- define "sidecar.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidecar.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidecar.labels" -}}
{{ include "sidecar.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "sidecar.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What cannot work is refused before anything is installed. */}}
{{- define "sidecar.check" -}}
{{- $many := or (gt (int .Values.replicas) 1) .Values.keda.enabled -}}
{{- if and $many (not .Values.ledger.redis) -}}
{{- fail "Several replicas need one ledger: set ledger.redis=true and SIDECAR_LEDGER__REDIS__URL in secretEnv." -}}
{{- end -}}
{{- if and .Values.ledger.redis (not (hasKey .Values.secretEnv "SIDECAR_LEDGER__REDIS__URL")) -}}
{{- fail "ledger.redis=true needs SIDECAR_LEDGER__REDIS__URL in secretEnv." -}}
{{- end -}}
{{- if not (or .Values.security.trustedNetworks .Values.security.keysSecret) -}}
{{- fail "Say who may call: security.trustedNetworks, or security.keysSecret with keys." -}}
{{- end -}}
{{- if and .Values.keda.enabled (gt (int .Values.keda.minReplicas) (int .Values.keda.maxReplicas)) -}}
{{- fail "keda.minReplicas is more than keda.maxReplicas." -}}
{{- end -}}
{{- end -}}

{{- define "sidecar.env" -}}
- {name: SIDECAR_SETTINGS_FILE, value: /etc/sidecar/settings.yaml}
- {name: SIDECAR_HTTP__HOST, value: 0.0.0.0}
- {name: SIDECAR_HTTP__PORT, value: "9080"}
- {name: SIDECAR_METRICS__HOST, value: 0.0.0.0}
- {name: SIDECAR_METRICS__PORT, value: "9081"}
{{- with .Values.security.trustedNetworks }}
- {name: SIDECAR_SECURITY__TRUSTED_NETWORKS, value: {{ join "," . | quote }}}
{{- end }}
{{- if .Values.security.keysSecret }}
- {name: SIDECAR_SECURITY__KEYS_FILE, value: /etc/sidecar-keys/keys.yaml}
{{- end }}
{{- if .Values.service.grpcEnabled }}
- {name: SIDECAR_GRPC__ENABLED, value: "true"}
- {name: SIDECAR_GRPC__HOST, value: 0.0.0.0}
- {name: SIDECAR_GRPC__PORT, value: "9082"}
{{- end }}
{{- range $name, $from := .Values.secretEnv }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}}}
{{- end }}
{{- end -}}

{{- define "sidecar.mounts" -}}
- {name: settings, mountPath: /etc/sidecar, readOnly: true}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
{{- if .Values.security.keysSecret }}
- {name: keys, mountPath: /etc/sidecar-keys, readOnly: true}
{{- end }}
{{- end -}}

{{- define "sidecar.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
