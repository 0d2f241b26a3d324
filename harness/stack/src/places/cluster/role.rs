//! The permissions that a cluster stack needs.

/// The ClusterRole of `--existing`: read access, and port forwards to pods.
pub const READER: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: poolproof-reader
rules:
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways, httproutes]
  verbs: [get, list]
- apiGroups: [inference.networking.k8s.io]
  resources: [inferencepools]
  verbs: [get]
- apiGroups: [inference.networking.x-k8s.io, llm-d.ai]
  resources: [inferenceobjectives]
  verbs: [list]
- apiGroups: [\"\"]
  resources: [services]
  verbs: [get, list]
- apiGroups: [\"\"]
  resources: [pods, configmaps]
  verbs: [get, list]
- apiGroups: [\"\"]
  resources: [pods/portforward]
  verbs: [get, create]
";
