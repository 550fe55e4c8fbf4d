{{/* The name of the chart: at most 63 characters, because it becomes a label. */}}
{{- define "binance-sidecar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of everything in this release; 50 characters leave room for suffixes. */}}
{{- define "binance-sidecar.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "binance-sidecar.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "binance-sidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "binance-sidecar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "binance-sidecar.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "binance-sidecar.name" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "binance-sidecar.valkey.name" -}}
{{ include "binance-sidecar.fullname" . }}-valkey
{{- end }}

{{- define "binance-sidecar.valkey.selectorLabels" -}}
app.kubernetes.io/name: {{ include "binance-sidecar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: valkey
{{- end }}

{{- define "binance-sidecar.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "binance-sidecar.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "binance-sidecar.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The value that SIDECAR_SHUTDOWN_SECONDS will have. */}}
{{- define "binance-sidecar.shutdownSeconds" -}}
{{- if hasKey .Values.settings "shutdownSeconds" }}{{ .Values.settings.shutdownSeconds }}{{ else }}15{{ end }}
{{- end }}

{{/* "true" if entries and ledger are kept outside the process. */}}
{{- define "binance-sidecar.hasRedis" -}}
{{- if or .Values.valkey.enabled .Values.redis.existingSecret.name (and .Values.redis.url (not (hasPrefix "memory:" .Values.redis.url))) -}}
true
{{- end }}
{{- end }}

{{/* "true" if the Valkey of this chart has a password. */}}
{{- define "binance-sidecar.valkey.hasPassword" -}}
{{- if or .Values.valkey.password .Values.valkey.existingSecret.name -}}
true
{{- end }}
{{- end }}

{{/* The environment variable with the password of this chart's Valkey. */}}
{{- define "binance-sidecar.valkey.passwordEnv" -}}
- name: VALKEY_PASSWORD
  valueFrom:
    secretKeyRef:
      {{- if .Values.valkey.existingSecret.name }}
      name: {{ .Values.valkey.existingSecret.name }}
      key: {{ .Values.valkey.existingSecret.key }}
      {{- else }}
      name: {{ include "binance-sidecar.fullname" . }}
      key: valkey-password
      {{- end }}
{{- end }}

{{/* Annotations of every pod that runs the container: a changed checksum replaces the pods. */}}
{{- define "binance-sidecar.podAnnotations" -}}
checksum/settings: {{ list .Values.settings .Values.redis.url .Values.valkey.password .Values.quota | toJson | sha256sum }}
{{- end }}

{{/*
Labels of every pod that runs the container: the PodMonitor selects them. A pod of another chart keeps its own names.
*/}}
{{- define "binance-sidecar.podLabels" -}}
{{- if eq .Values.kind "Sidecar" -}}
binance-sidecar/release: {{ include "binance-sidecar.fullname" . }}
{{- else -}}
{{ include "binance-sidecar.selectorLabels" . }}
{{- end }}
{{- end }}

{{/* The relabelings that the rules and the dashboard need. */}}
{{- define "binance-sidecar.relabelings" -}}
- targetLabel: job
  replacement: binance-sidecar
{{- if eq .Values.quota.domain "node" }}
- sourceLabels: [__meta_kubernetes_pod_host_ip]
  targetLabel: quota_domain
{{- else }}
- targetLabel: quota_domain
  replacement: {{ .Values.quota.name }}
{{- end }}
{{- end }}

{{/*
The ports of Redis as a JSON list: networkPolicy.redisPorts, else the ports of redis.url. With Sentinel the server has a
port of its own: 6379, unless the value says otherwise.
*/}}
{{- define "binance-sidecar.redisPorts" -}}
{{- if .Values.networkPolicy.redisPorts }}
{{- .Values.networkPolicy.redisPorts | toJson }}
{{- else }}
{{- $isSentinel := hasPrefix "redis+sentinel:" .Values.redis.url }}
{{- $named := regexFind ":[0-9]+(/|,|$)" (regexReplaceAll "^[a-z+]+://([^@/]*@)?" .Values.redis.url "") | trimAll ":/," }}
{{- $port := $named | default (ternary "26379" "6379" $isSentinel) | int }}
{{- ternary (list $port 6379) (list $port) $isSentinel | uniq | toJson }}
{{- end }}
{{- end }}
