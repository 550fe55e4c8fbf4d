{{/* Values that contradict each other. Each pair ends the rendering with a message. */}}
{{- define "binance-sidecar.contradictions" -}}
{{- $v := .Values }}
{{- $hasRedis := include "binance-sidecar.hasRedis" . }}
{{- if and $v.redis.url $v.redis.existingSecret.name }}
{{- fail "redis.url and redis.existingSecret.name are both set: set only one of them." }}
{{- end }}
{{- if and $v.valkey.enabled (or $v.redis.url $v.redis.existingSecret.name) }}
{{- fail "valkey.enabled starts a Valkey, and redis.url or redis.existingSecret names another server: choose one." }}
{{- end }}
{{- if and $v.valkey.enabled (not $v.valkey.password) (not $v.valkey.existingSecret.name) }}
{{- fail "valkey.enabled needs a password: set valkey.existingSecret.name, or valkey.password." }}
{{- end }}
{{- if and $v.valkey.password $v.valkey.existingSecret.name }}
{{- fail "valkey.password and valkey.existingSecret.name are both set: set only one of them." }}
{{- end }}
{{- if and (not $v.valkey.enabled) (or $v.valkey.password $v.valkey.existingSecret.name) }}
{{- fail "valkey.password and valkey.existingSecret are for the Valkey of this chart: set valkey.enabled, or put the password into redis.url." }}
{{- end }}
{{- if and $v.autoscaling.enabled (ne $v.kind "Deployment") }}
{{- fail (printf "autoscaling.enabled scales a Deployment, and kind is %s." $v.kind) }}
{{- end }}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is larger than autoscaling.maxReplicas." }}
{{- end }}
{{- if and (eq $v.kind "Deployment") (not $hasRedis) (or $v.autoscaling.enabled (gt (int $v.replicaCount) 1)) }}
{{- fail "Several replicas without Redis would each spend the whole quota: set redis.url, redis.existingSecret or valkey.enabled." }}
{{- end }}
{{- if and (eq $v.kind "DaemonSet") (not $hasRedis) (ne $v.quota.domain "node") }}
{{- fail "A DaemonSet without Redis would spend the whole quota on each node: set redis.url, redis.existingSecret or valkey.enabled, or quota.domain=node if each node has a public IP of its own." }}
{{- end }}
{{- if and (eq $v.kind "Sidecar") (not $hasRedis) (not $v.redis.url) }}
{{- fail "Sidecars without Redis would each spend the whole quota: set redis.url, redis.existingSecret or valkey.enabled; redis.url=memory: if there is a single pod." }}
{{- end }}
{{- if and (eq $v.quota.domain "node") (ne $v.quota.name "default") }}
{{- fail "quota.name names the shared quota domain, and quota.domain is node: the domain is the node's IP." }}
{{- end }}
{{- if and $v.serviceMonitor.enabled $v.podMonitor.enabled }}
{{- fail "serviceMonitor.enabled and podMonitor.enabled would scrape every pod twice: choose one." }}
{{- end }}
{{- if and $v.serviceMonitor.enabled (eq $v.kind "Sidecar") }}
{{- fail "serviceMonitor.enabled needs the Service, and kind Sidecar has none: use podMonitor.enabled." }}
{{- end }}
{{- if and $v.podDisruptionBudget.enabled (eq (toString $v.podDisruptionBudget.minAvailable) "") (eq (toString $v.podDisruptionBudget.maxUnavailable) "") }}
{{- fail "podDisruptionBudget needs minAvailable or maxUnavailable." }}
{{- end }}
{{- if and $v.podDisruptionBudget.enabled (ne (toString $v.podDisruptionBudget.minAvailable) "") (ne (toString $v.podDisruptionBudget.maxUnavailable) "") }}
{{- fail "podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable are both set: leave one of them empty." }}
{{- end }}
{{- $shutdown := include "binance-sidecar.shutdownSeconds" . | float64 }}
{{- if lt (float64 $v.terminationGracePeriodSeconds) (mulf $shutdown 2) }}
{{- fail (printf "terminationGracePeriodSeconds=%v would kill the gateway while it drains: leave it twice settings.shutdownSeconds=%v." $v.terminationGracePeriodSeconds $shutdown) }}
{{- end }}
{{- $budget := 0.9 }}
{{- if hasKey $v.settings "budgetRatio" }}{{ $budget = float64 $v.settings.budgetRatio }}{{ end }}
{{- range $name := list "refreshBudgetRatio" "localBudgetRatio" }}
{{- if hasKey $v.settings $name }}
{{- $ratio := float64 (get $v.settings $name) }}
{{- if gt $ratio (float64 $budget) }}
{{- fail (printf "settings.%s=%v must not be larger than settings.budgetRatio=%v." $name $ratio $budget) }}
{{- end }}
{{- end }}
{{- end }}
{{- if ne (empty $v.settings.tlsCertFile) (empty $v.settings.tlsKeyFile) }}
{{- fail "settings.tlsCertFile and settings.tlsKeyFile are of use together only: set both, or none." }}
{{- end }}
{{- if eq (int $v.ports.traffic) (int $v.ports.ops) }}
{{- fail "ports.traffic and ports.ops are the same port." }}
{{- end }}
{{- end }}
