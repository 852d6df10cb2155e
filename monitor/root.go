package monitor

import (
	"html/template"
	"net/http"
	"runtime/pprof"
	"strings"
)

// rootPage is the index that a person meets in a browser.
var rootPage = template.Must(template.New("root").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Name}}</title>
<style>
body { font-family: system-ui, sans-serif; margin: 2rem; color: #223; }
a { display: block; padding: .2rem 0; color: #1a5fb4; text-decoration: none; }
a:hover { text-decoration: underline; }
small { color: #667; }
</style>
</head>
<body>
<h1>{{.Name}}</h1>
<p><small>Peregrine {{.OwnVersion}}, speaking NATS {{.Version}}</small></p>
<a href=".{{.Base}}/varz">General</a>
<a href=".{{.Base}}/connz">Connections</a>
<a href=".{{.Base}}/connz?state=closed">Closed connections</a>
<a href=".{{.Base}}/subsz">Subscriptions</a>
<a href=".{{.Base}}/routez">Routes</a>
<a href=".{{.Base}}/leafz">Leaf nodes</a>
<a href=".{{.Base}}/gatewayz">Gateways</a>
<a href=".{{.Base}}/jsz">JetStream</a>
<a href=".{{.Base}}/healthz">Health probe</a>
<a href=".{{.Base}}/stacksz">Goroutines</a>
</body>
</html>
`))

func (m *Monitor) serveRoot(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page := struct {
		Identity
		Base string // in front of paths, empty or "/…"
	}{m.source.Identity(), strings.TrimSuffix(m.basePath(), "/")}
	_ = rootPage.Execute(w, page) // fails only with the reader
	return nil
}

// serveStacksz dumps goroutines as text, under the content type that the
// reference gives all its endpoints.
func (m *Monitor) serveStacksz(w http.ResponseWriter, _ *http.Request) error {
	setJSONHeaders(w)
	_ = pprof.Lookup("goroutine").WriteTo(w, 2) // fails only with the reader
	return nil
}
