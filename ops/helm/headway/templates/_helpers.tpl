{{- define "headway.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* By which Services and Deployments know their pods: (dict "root" $ "component" "proxy"). */}}
{{- define "headway.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "headway.labels" -}}
{{ include "headway.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "headway.daemonsName" -}}
{{ include "headway.fullname" . }}-daemons
{{- end -}}

{{- define "headway.daemonsHost" -}}
{{ include "headway.daemonsName" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{/* The file headway.yaml, without the section of a role that this release does not run. */}}
{{- define "headway.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.proxy.enabled -}}
{{- $proxy := $config.proxy | default dict -}}
{{- if not $proxy.daemons -}}
{{- if not .Values.daemon.enabled -}}
{{- fail "config.proxy.daemons is not set, and daemon.enabled is false: name the daemons that the proxies are to reach" -}}
{{- end -}}
{{- $_ := set $proxy "daemons" (list (printf "dns:///%s:4433" (include "headway.daemonsHost" .))) -}}
{{- end -}}
{{- if and .Values.proxy.tls.existingSecret (not $proxy.tls) -}}
{{- $_ := set $proxy "tls" (dict "cert" "tls/tls.crt" "key" "tls/tls.key") -}}
{{- end -}}
{{- $_ := set $config "proxy" $proxy -}}
{{- else -}}
{{- $_ := unset $config "proxy" -}}
{{- end -}}
{{- if not .Values.daemon.enabled -}}
{{- $_ := unset $config "daemon" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The secret with the daemon's certificate and its CA. */}}
{{- define "headway.certificateSecret" -}}
{{- if .Values.certificates.certManager.enabled -}}
{{ include "headway.fullname" . }}-daemon-tls
{{- else -}}
{{ required "certificates.existingSecret is not set, and certificates.certManager.enabled is false: kubectl create secret generic headway-certs --from-file=certs, with what `headway certs` wrote" .Values.certificates.existingSecret }}
{{- end -}}
{{- end -}}

{{/* What that secret calls ca, cert or key: (dict "root" $ "file" "ca"). */}}
{{- define "headway.certificateKey" -}}
{{- if .root.Values.certificates.certManager.enabled -}}
{{ get (dict "ca" "ca.crt" "cert" "tls.crt" "key" "tls.key") .file }}
{{- else -}}
{{ get .root.Values.certificates.keys .file }}
{{- end -}}
{{- end -}}

{{- define "headway.tokenSecret" -}}
{{- if .Values.token.existingSecret -}}
{{ .Values.token.existingSecret }}
{{- else if .Values.certificates.certManager.enabled -}}
{{ required "token.existingSecret is not set: kubectl create secret generic headway-token --from-literal=token=$(openssl rand -base64 32)" .Values.token.existingSecret }}
{{- else -}}
{{ include "headway.certificateSecret" . }}
{{- end -}}
{{- end -}}

{{- define "headway.containerSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "headway.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
