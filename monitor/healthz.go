package monitor

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// health is the body of /healthz, which is compact unlike all others.
type health struct {
	Status string        `json:"status"`
	Error  string        `json:"error,omitempty"`
	Errors []healthError `json:"errors,omitempty"`
}

type healthError struct {
	Type  string `json:"type"`
	Error string `json:"error,omitempty"`
}

// Kinds of health errors that exist so far.
const (
	healthBadRequest = "BAD_REQUEST"
	healthConnection = "CONNECTION"
)

func (m *Monitor) serveHealthz(w http.ResponseWriter, r *http.Request) error {
	p := params{values: r.URL.Query()}
	for _, name := range []string{"js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"} {
		p.boolean(name)
	}
	details := p.boolean("details")
	if p.err != nil {
		return p.err
	}
	code, kind, err := m.health(p.values.Get("account"), p.values.Get("stream"), p.values.Get("consumer"))
	body := health{Status: "ok"}
	if err != nil {
		m.log.Warnf("Healthcheck failed: %q", err)
		body.Status = "error"
		if details {
			body.Errors = []healthError{{Type: kind, Error: err.Error()}}
		} else {
			body.Error = err.Error()
		}
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	setJSONHeaders(w)
	w.WriteHeader(code)
	_, _ = w.Write(text)
	return nil
}

// health makes the checks in the reference's order. Those of JetStream do not
// apply to a server that has none, which the reference calls healthy.
func (m *Monitor) health(account, stream, consumer string) (code int, kind string, err error) {
	switch {
	case stream != "" && account == "":
		return http.StatusBadRequest, healthBadRequest, fmt.Errorf("%q must not be empty when checking stream health", "account")
	case consumer != "" && stream == "":
		return http.StatusBadRequest, healthBadRequest, fmt.Errorf("%q must not be empty when checking consumer health", "stream")
	}
	if err := m.source.Ready(); err != nil {
		return http.StatusInternalServerError, healthConnection, err
	}
	return http.StatusOK, "", nil
}
