//go:build tools

// Package tools keeps the real API server, which is built by its package path, in go.mod.
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
