{{/* What a schema cannot say of values: each is refused with what to do. Prints nothing. */}}
{{- define "microservice.refusals" -}}
{{- $values := .Values }}
{{- range $path, $image := dict "image" $values.image "tests.image" $values.tests.image }}
{{- if and (not $image.digest) (has ($image.tag | default "" | lower) (list "latest" "stable" "edge" "nightly" "main" "master")) }}
{{- fail (printf "%s.tag %q is another image tomorrow: name a version, or set %s.digest" $path $image.tag $path) }}
{{- end }}
{{- end }}
{{- with $values.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail (printf "autoscaling.minReplicas %d is more than autoscaling.maxReplicas %d: lower the first or raise the second" (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- if not (or .targetCPUUtilizationPercentage .targetMemoryUtilizationPercentage) }}
{{- fail "autoscaling.enabled needs something to scale by: set autoscaling.targetCPUUtilizationPercentage or autoscaling.targetMemoryUtilizationPercentage" }}
{{- end }}
{{- end }}
{{- end }}
{{- if ge (int $values.preStopSeconds) (int $values.terminationGracePeriodSeconds) }}
{{- fail (printf "preStopSeconds %d leaves no time to stop: set terminationGracePeriodSeconds to more than that" (int $values.preStopSeconds)) }}
{{- end }}
{{- if and $values.monitoring.enabled (eq (int $values.monitoring.port) (int $values.service.port)) }}
{{- fail (printf "monitoring.port and service.port are both %d, and a Service has each port once: change one of them" (int $values.service.port)) }}
{{- end }}
{{- $zero := list "0" "0%" }}
{{- if and (eq $values.strategy.type "RollingUpdate") (has (toString $values.strategy.maxSurge) $zero) (has (toString $values.strategy.maxUnavailable) $zero) }}
{{- fail "strategy.maxSurge and strategy.maxUnavailable are both 0, so no rollout could begin: raise one of them" }}
{{- end }}
{{- include "microservice.secretRefusals" $values.secrets }}
{{- end }}

{{/* Passwords that everybody knows, and secrets from two places. Never prints a secret. */}}
{{- define "microservice.secretRefusals" -}}
{{- $known := list "password" "passwd" "pass" "secret" "jwt-secret" "jwt_secret" "jwtsecret" "changeme" "change-me" "change_me" "changeit" "admin" "administrator" "root" "user" "test" "default" "example" "postgres" "postgresql" "guest" "letmein" "qwerty" "123456" "12345678" "123456789" "supersecret" "super-secret" "your-secret-key" "secretkey" "secret-key" "mysecret" "my-secret" "p@ssw0rd" "password1" "password123" }}
{{- range $path, $secret := dict "secrets.database.password" .database.password "secrets.jwt.secret" .jwt.secret }}
{{- if has ($secret | default "" | toString | lower | trim) $known }}
{{- fail (printf "%s is one of the well-known defaults, which anybody guesses: create a Secret of your own with 'kubectl create secret generic' and name it in secrets.existingSecret, or fetch it with secrets.externalSecret" $path) }}
{{- end }}
{{- end }}
{{- with .externalSecret }}
{{- if .enabled }}
{{- if $.existingSecret }}
{{- fail "secrets.existingSecret and secrets.externalSecret.enabled are both set: keep one of them" }}
{{- end }}
{{- if not .store.name }}
{{- fail "secrets.externalSecret.enabled needs secrets.externalSecret.store.name: name the SecretStore that holds the secrets" }}
{{- end }}
{{- if not (or .key .data) }}
{{- fail "secrets.externalSecret.enabled needs secrets.externalSecret.key or secrets.externalSecret.data: say what to fetch" }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (or .existingSecret .externalSecret.enabled) (or .database.password .database.username .jwt.secret) }}
{{- fail "secrets.database and secrets.jwt are not used beside secrets.existingSecret or secrets.externalSecret: remove them from the values" }}
{{- end }}
{{- end }}
