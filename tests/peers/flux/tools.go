//go:build tools

// Package tools keeps the kustomize-controller, which is built by its package path, in go.mod.
package tools

import _ "github.com/fluxcd/kustomize-controller"
