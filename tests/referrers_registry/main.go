// A registry with the referrers API, in memory, for the tests of package-model. Arguments: the address to listen on, and
// how many bytes a list of referrers may have until it is given in pages.
package main

import (
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

func main() {
	limit, err := strconv.ParseInt(os.Args[2], 10, 64)
	if err != nil {
		log.Fatal(err)
	}
	registry := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem},
		API:     config.ConfigAPI{Referrer: config.ConfigAPIReferrer{Limit: limit}},
	})
	server := &http.Server{Addr: os.Args[1], Handler: registry, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
