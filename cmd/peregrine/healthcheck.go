package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// healthDefault is where a server with "http: 8222" tells its health.
const healthDefault = "http://127.0.0.1:8222/healthz"

// healthPatience is shorter than container engines wait for an answer.
const healthPatience = 5 * time.Second

const healthUsage = `
Usage: peregrine healthcheck [url]

Asks a server for its health over the monitoring port and ends with status 0 if
it is fine, 1 if it is not. The path /healthz is added to a URL without one.
Default: ` + healthDefault + "\n\n"

// healthcheck is the sub-command for container engines, whose images have no
// program that could ask.
func healthcheck(args []string, stdout, stderr io.Writer) int {
	target := healthDefault
	switch {
	case len(args) > 1 || len(args) == 1 && strings.HasPrefix(args[0], "-"):
		io.WriteString(stdout, healthUsage)
		return 0
	case len(args) == 1:
		target = args[0]
	}
	if err := askHealth(target); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", programName, err)
		return 1
	}
	return 0
}

func askHealth(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/healthz"
	}
	client := http.Client{Timeout: healthPatience}
	response, err := client.Get(u.String())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %s: %s", u, response.Status, strings.TrimSpace(string(body)))
}
