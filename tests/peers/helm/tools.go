//go:build tools

// Package tools keeps the stock helm, which is built by its package path, in go.mod.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
