{{/*
The gateway as a container. It needs the context of this chart. In a chart that has this one as a dependency:
  initContainers:
    {{- include "binance-sidecar.container" (index .Subcharts "binance-sidecar") | nindent 4 }}
With kind Sidecar it is a native sidecar (an init container that keeps running) and listens for traffic on 127.0.0.1 only.
*/}}
{{- define "binance-sidecar.container" -}}
- name: binance-sidecar
  image: {{ include "binance-sidecar.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if eq .Values.kind "Sidecar" }}
  restartPolicy: Always
  {{- end }}
  ports:
    {{- if ne .Values.kind "Sidecar" }}
    - name: traffic
      containerPort: {{ .Values.ports.traffic }}
    {{- end }}
    - name: ops
      containerPort: {{ .Values.ports.ops }}
  env:
    - name: SIDECAR_HOST
      value: {{ ternary "127.0.0.1" "0.0.0.0" (eq .Values.kind "Sidecar") | quote }}
    - name: SIDECAR_PORT
      value: {{ .Values.ports.traffic | quote }}
    - name: SIDECAR_OPS_HOST
      value: "0.0.0.0"
    - name: SIDECAR_OPS_PORT
      value: {{ .Values.ports.ops | quote }}
    - name: SIDECAR_QUOTA_DOMAIN
      {{- if eq .Values.quota.domain "node" }}
      valueFrom:
        fieldRef:
          fieldPath: status.hostIP
      {{- else }}
      value: {{ .Values.quota.name | quote }}
      {{- end }}
    {{- if ne .Values.kind "Sidecar" }}
    - name: SIDECAR_STATE_DIR
      value: /var/lib/binance-sidecar
    {{- end }}
    {{- if .Values.valkey.enabled }}
    {{- include "binance-sidecar.valkey.env" . | nindent 4 }}
    {{- else if or .Values.redis.url .Values.redis.existingSecret.name }}
    - name: SIDECAR_REDIS_URL
      valueFrom:
        secretKeyRef:
          {{- if .Values.redis.existingSecret.name }}
          name: {{ .Values.redis.existingSecret.name }}
          key: {{ .Values.redis.existingSecret.key }}
          {{- else }}
          name: {{ include "binance-sidecar.fullname" . }}
          key: redis-url
          {{- end }}
    {{- end }}
    {{- with .Values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  envFrom:
    - configMapRef:
        name: {{ include "binance-sidecar.fullname" . }}
    {{- with .Values.extraEnvFrom }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  startupProbe:
    httpGet:
      path: /readyz
      port: ops
    {{- toYaml .Values.probes.startup | nindent 4 }}
  livenessProbe:
    httpGet:
      path: /livez
      port: ops
    {{- toYaml .Values.probes.liveness | nindent 4 }}
  readinessProbe:
    httpGet:
      path: /readyz
      port: ops
    {{- toYaml .Values.probes.readiness | nindent 4 }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  {{- if or (ne .Values.kind "Sidecar") .Values.extraVolumeMounts }}
  volumeMounts:
    {{- if ne .Values.kind "Sidecar" }}
    - name: state
      mountPath: /var/lib/binance-sidecar
    {{- if .Values.valkey.enabled }}
    {{- include "binance-sidecar.valkey.passwordMount" . | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end }}
