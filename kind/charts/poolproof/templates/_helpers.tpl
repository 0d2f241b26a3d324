{{- define "poolproof.name" -}}
{{- printf "%s-poolproof" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "poolproof.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "poolproof.labels" -}}
app.kubernetes.io/name: poolproof
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "poolproof.serviceAccount" -}}
{{- .Values.serviceAccount.existing | default (include "poolproof.name" .) -}}
{{- end -}}

{{- define "poolproof.claim" -}}
{{- .Values.results.claim.existing | default (printf "%s-results" (include "poolproof.name" .)) -}}
{{- end -}}

{{- /* Fails unless exactly one kind of target is given. */ -}}
{{- define "poolproof.checkTarget" -}}
{{- if and .Values.target.file .Values.target.existing.enabled -}}
{{- fail "target.file and target.existing.enabled: give one of them" -}}
{{- else if not (or .Values.target.file .Values.target.existing.enabled) -}}
{{- fail "give target.file, or target.existing.enabled: true" -}}
{{- else if and .Values.target.existing.enabled (not .Values.target.existing.namespace) -}}
{{- fail "target.existing.namespace: give the namespace of routes and pools" -}}
{{- end -}}
{{- end -}}

{{- /* The arguments that name the target, as a JSON list. */ -}}
{{- define "poolproof.targetArgs" -}}
{{- $args := list -}}
{{- if .Values.target.existing.enabled -}}
{{- $args = list "--stack" "cluster" "--context" "in-cluster" "--existing" "--namespace" .Values.target.existing.namespace "--own-image" (include "poolproof.image" .) -}}
{{- else -}}
{{- $args = list "--stack" "url" "--target" "/etc/poolproof/target.toml" -}}
{{- end -}}
{{- if .Values.secret.name -}}
{{- $args = concat $args (list "--api-key-env" "POOLPROOF_API_KEY") -}}
{{- if .Values.secret.header -}}
{{- $args = concat $args (list "--api-key-header" .Values.secret.header) -}}
{{- end -}}
{{- end -}}
{{- toJson $args -}}
{{- end -}}

{{- /* What all containers share: `root` is the root context, `name` the container's name, `args` its arguments. */ -}}
{{- define "poolproof.container" -}}
{{- $root := .root -}}
name: {{ .name }}
image: {{ include "poolproof.image" $root | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args: {{ toJson .args }}
env:
  # The kubelet expands $(POD_NAME) in arguments.
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  - name: HOME
    value: /tmp
  {{- if $root.Values.target.existing.enabled }}
  - name: KUBECONFIG
    value: /etc/poolproof/kubeconfig
  {{- end }}
  {{- with $root.Values.secret }}
  {{- if .name }}
  - name: POOLPROOF_API_KEY
    valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .key | quote }}}}
  {{- end }}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{ toJson $root.Values.resources }}
volumeMounts:
  - {name: files, mountPath: /etc/poolproof, readOnly: true}
  - {name: results, mountPath: /results}
  - {name: tmp, mountPath: /tmp}
{{- end -}}

{{- /* The rest of a pod: everything but its containers. */ -}}
{{- define "poolproof.pod" -}}
restartPolicy: Never
serviceAccountName: {{ include "poolproof.serviceAccount" . }}
automountServiceAccountToken: {{ .Values.target.existing.enabled }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: files
    configMap: {name: {{ include "poolproof.name" . }}}
  - name: results
    {{- if .Values.results.volume }}
    {{- toYaml .Values.results.volume | nindent 4 }}
    {{- else }}
    persistentVolumeClaim: {claimName: {{ include "poolproof.claim" . }}}
    {{- end }}
  - name: tmp
    emptyDir: {}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "poolproof.podMetadata" -}}
labels:
  {{- include "poolproof.labels" . | nindent 2 }}
{{- with .Values.podAnnotations }}
annotations: {{ toJson . }}
{{- end }}
{{- end -}}
