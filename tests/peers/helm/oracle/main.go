// The oracle answers what `helm template` prints, for many charts in one process.
//
// It reads a JSON object per line (see request) and writes one per line (see answer).
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/getter"
	kubefake "helm.sh/helm/v3/pkg/kube/fake"
	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
)

type request struct {
	Files       map[string]string `json:"files"`
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Values      []string          `json:"values"`
	Set         []string          `json:"set"`
	SetString   []string          `json:"setString"`
	SetJSON     []string          `json:"setJson"`
	SetLiteral  []string          `json:"setLiteral"`
	KubeVersion string            `json:"kubeVersion"`
	APIVersions []string          `json:"apiVersions"`
	IncludeCRDs bool              `json:"includeCrds"`
	IsUpgrade   bool              `json:"isUpgrade"`
	Notes       bool              `json:"notes"`
}

type answer struct {
	Out   string `json:"out"`
	Err   string `json:"err"`
	Notes string `json:"notes"`
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var asked request
			if err := json.Unmarshal(line, &asked); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			if err := out.Encode(render(asked)); err != nil {
				os.Exit(1)
			}
		}
		if err != nil {
			return
		}
	}
}

func render(asked request) answer {
	text, notes, err := manifests(asked)
	if err != nil {
		return answer{Out: text, Err: err.Error()}
	}
	return answer{Out: text, Notes: notes}
}

func manifests(asked request) (string, string, error) {
	folder, err := os.MkdirTemp("", "oracle")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(folder)
	for name, text := range asked.Files {
		path := filepath.Join(folder, "chart", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", "", err
		}
	}
	given := &values.Options{Values: asked.Set, StringValues: asked.SetString, JSONValues: asked.SetJSON, LiteralValues: asked.SetLiteral}
	for index, text := range asked.Values {
		path := filepath.Join(folder, fmt.Sprintf("values-%d.yaml", index))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", "", err
		}
		given.ValueFiles = append(given.ValueFiles, path)
	}
	registries, err := registry.NewClient(registry.ClientOptWriter(io.Discard))
	if err != nil {
		return "", "", err
	}
	config := &action.Configuration{
		Releases:       storage.Init(driver.NewMemory()),
		KubeClient:     &kubefake.PrintingKubeClient{Out: io.Discard},
		Capabilities:   chartutil.DefaultCapabilities,
		RegistryClient: registries,
		Log:            func(string, ...interface{}) {},
	}
	install := action.NewInstall(config)
	install.DryRun, install.ClientOnly, install.Replace = true, true, true
	install.ReleaseName, install.Namespace = asked.Name, asked.Namespace
	install.IncludeCRDs, install.IsUpgrade = asked.IncludeCRDs, asked.IsUpgrade
	install.APIVersions = asked.APIVersions
	if asked.KubeVersion != "" {
		if install.KubeVersion, err = chartutil.ParseKubeVersion(asked.KubeVersion); err != nil {
			return "", "", err
		}
	}
	merged, err := given.MergeValues(getter.All(cli.New()))
	if err != nil {
		return "", "", err
	}
	loaded, err := loader.Load(filepath.Join(folder, "chart"))
	if err != nil {
		return "", "", err
	}
	if loaded.Metadata.Type != "" && loaded.Metadata.Type != "application" {
		return "", "", fmt.Errorf("%s charts are not installable", loaded.Metadata.Type)
	}
	if wanted := loaded.Metadata.Dependencies; wanted != nil {
		if err := action.CheckDependencies(loaded, wanted); err != nil {
			return "", "", fmt.Errorf("An error occurred while checking for chart dependencies. You may need to run `helm dependency build` to fetch missing dependencies: %w", err)
		}
	}
	release, err := install.Run(loaded, merged)
	if err != nil {
		return "", "", err
	}
	var text strings.Builder
	fmt.Fprintln(&text, strings.TrimSpace(release.Manifest))
	for _, hook := range release.Hooks {
		fmt.Fprintf(&text, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	notes := ""
	if asked.Notes {
		notes = release.Info.Notes
	}
	return text.String(), notes, nil
}
