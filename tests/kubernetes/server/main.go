// A Kubernetes API server that serves custom resources and nothing else, for the tests of the target `kserve`.
//
// It is Kubernetes' own apiextensions-apiserver over an etcd, on the loopback, without authentication: what it stores,
// validates, defaults, prunes and refuses is what a cluster's own does. No controller runs in it.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	chosen := options.NewCustomResourceDefinitionsServerOptions(os.Stdout, os.Stderr)
	flags := pflag.NewFlagSet("crd-server", pflag.ExitOnError)
	chosen.AddFlags(flags)
	// What needs a whole cluster: its own API for tokens and rights, and its namespaces and webhooks.
	chosen.RecommendedOptions.Authentication = nil
	chosen.RecommendedOptions.Authorization = nil
	chosen.RecommendedOptions.Admission = nil
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	if err := chosen.Complete(); err != nil {
		return err
	}
	if err := chosen.Validate(); err != nil {
		return err
	}
	config, err := chosen.Config()
	if err != nil {
		return err
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegate())
	if err != nil {
		return err
	}
	return server.GenericAPIServer.PrepareRun().RunWithContext(genericapiserver.SetupSignalContext())
}
