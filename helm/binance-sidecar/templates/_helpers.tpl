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

{{- define "binance-sidecar.valkey.image" -}}
{{- with .Values.valkey.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* The name of the Secret with the password of this chart's Valkey. */}}
{{- define "binance-sidecar.valkey.secretName" -}}
{{- .Values.valkey.existingSecret.name | default (include "binance-sidecar.fullname" .) }}
{{- end }}

{{/* The key in that Secret. */}}
{{- define "binance-sidecar.valkey.secretKey" -}}
{{- ternary .Values.valkey.existingSecret.key "valkey-password" (ne .Values.valkey.existingSecret.name "") }}
{{- end }}

{{/* The password as a file, for Valkey and for the gateway of a Deployment or DaemonSet. */}}
{{- define "binance-sidecar.valkey.passwordVolume" -}}
- name: valkey-password
  secret:
    secretName: {{ include "binance-sidecar.valkey.secretName" . }}
    defaultMode: 0444
    items:
      - key: {{ include "binance-sidecar.valkey.secretKey" . }}
        path: password
{{- end }}

{{- define "binance-sidecar.valkey.passwordMount" -}}
- name: valkey-password
  mountPath: /run/secrets/valkey
  readOnly: true
{{- end }}

{{/* Where the gateway finds the Valkey of this chart. A sidecar has no volume, and takes the password from its environment. */}}
{{- define "binance-sidecar.valkey.env" -}}
{{- $address := printf "%s:6379/0" (include "binance-sidecar.valkey.name" .) -}}
{{- if eq .Values.kind "Sidecar" -}}
- name: VALKEY_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "binance-sidecar.valkey.secretName" . }}
      key: {{ include "binance-sidecar.valkey.secretKey" . }}
- name: SIDECAR_REDIS_URL
  value: redis://:$(VALKEY_PASSWORD)@{{ $address }}
{{- else -}}
- name: SIDECAR_REDIS_URL
  value: redis://{{ $address }}?password_file=/run/secrets/valkey/password
{{- end }}
{{- end }}

{{/*
Annotations of every pod that runs the container: a changed checksum replaces the pods. No secret is part of it, for a
short one could be found by trying.
*/}}
{{- define "binance-sidecar.podAnnotations" -}}
{{- $url := regexReplaceAll "(//).*@|((username|password)=)[^&]*" .Values.redis.url "${1}${2}" -}}
checksum/settings: {{ list .Values.settings $url .Values.quota | toJson | sha256sum }}
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
The ports of Redis as a JSON list: networkPolicy.redisPorts, else every port that redis.url names, those of its
address_map included. With Sentinel the server has a port of its own: 6379, unless the value says otherwise.
*/}}
{{- define "binance-sidecar.redisPorts" -}}
{{- if .Values.networkPolicy.redisPorts }}
{{- .Values.networkPolicy.redisPorts | toJson }}
{{- else }}
{{- $isSentinel := regexMatch "^rediss?\\+sentinel:" .Values.redis.url }}
{{- $hosts := regexReplaceAll "^[a-z+]+://([^@/?]*@)?" .Values.redis.url "" }}
{{- $ports := list }}
{{- range regexReplaceAll "[/?].*$" $hosts "" | splitList "," }}
{{- $named := regexFind ":[0-9]+$" . | trimPrefix ":" }}
{{- $ports = append $ports ($named | default (ternary "26379" "6379" $isSentinel) | int) }}
{{- end }}
{{- if $isSentinel }}{{ $ports = append $ports 6379 }}{{ end }}
{{- range regexFind "[?&]address_map=[^&]*" $hosts | splitList "," }}
{{- with regexFind ":[0-9]+$" . }}{{ $ports = append $ports (trimPrefix ":" . | int) }}{{ end }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}
{{- end }}

{{/*
The ports of the origin as a JSON list: networkPolicy.originPort, and those of the URLs and addresses in settings.
*/}}
{{- define "binance-sidecar.originPorts" -}}
{{- $settings := .Values.settings }}
{{- $ports := list (int .Values.networkPolicy.originPort) }}
{{- range list "upstreams" "usdFuturesUpstreams" "coinFuturesUpstreams" "optionsUpstreams" }}
{{- range get $settings . | default list }}
{{- $named := regexFind ":[0-9]+/?$" . | trimAll ":/" }}
{{- $ports = append $ports ($named | default (ternary "443" "80" (hasPrefix "https:" .)) | int) }}
{{- end }}
{{- end }}
{{- range get $settings "upstreamAddresses" | default list }}
{{- with regexFind "=([^:\\[]+|\\[.*\\]):[0-9]+$" . }}
{{- $ports = append $ports (regexFind "[0-9]+$" . | int) }}
{{- end }}
{{- end }}
{{- $ports | uniq | toJson }}
{{- end }}

{{/* What clients speak to the traffic port: http, or https if the gateway has a certificate. */}}
{{- define "binance-sidecar.trafficScheme" -}}
{{- ternary "http" "https" (empty .Values.settings.tlsCertFile) }}
{{- end }}

{{/* The test pod as a peer, so that `helm test` works whoever else is let in. */}}
{{- define "binance-sidecar.testPeer" -}}
{{- if .Values.tests.enabled -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ include "binance-sidecar.name" . }}
      app.kubernetes.io/instance: {{ .Release.Name }}
      app.kubernetes.io/component: test
{{- end }}
{{- end }}
