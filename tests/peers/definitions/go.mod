// Modules whose definitions of kinds a test feeds to the API server, as they are published.
module definitions

go 1.26

require (
	github.com/argoproj/argo-cd/v3 v3.1.0
	github.com/cert-manager/cert-manager v1.21.2
	github.com/fluxcd/kustomize-controller v1.7.3
	github.com/fluxcd/source-controller v1.8.5
	github.com/prometheus-operator/prometheus-operator v0.85.0
	github.com/tektoncd/pipeline v1.3.1
	github.com/vmware-tanzu/velero v1.18.3
	istio.io/api v1.31.1
	sigs.k8s.io/gateway-api v1.4.0
)
