package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// portsFileMode is the reference's, for the umask to narrow.
const portsFileMode = 0o666

// ports are the addresses of a server as the ports file lists them.
type ports struct {
	Nats       []string `json:"nats,omitempty"`
	Monitoring []string `json:"monitoring,omitempty"`
	Cluster    []string `json:"cluster,omitempty"`
	Profile    []string `json:"profile,omitempty"`
	WebSocket  []string `json:"websocket,omitempty"`
}

// portsFile returns the path of the ports file in folder.
func portsFile(folder string) string {
	return filepath.Join(folder, fmt.Sprintf("%s_%d.ports", filepath.Base(os.Args[0]), os.Getpid()))
}

// write puts p into the file path. Whoever waits for the file finds it whole.
func (p *ports) write(path string) error {
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
	if err := os.WriteFile(part, content, portsFileMode); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// urls returns where addr can be reached: an address of no interface stands for
// those of all.
func urls(scheme string, addr net.Addr) []string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp == nil {
		return nil
	}
	if !tcp.IP.IsUnspecified() {
		return []string{urlOf(scheme, tcp.IP, tcp.Port)}
	}
	var list []string
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if network, ok := a.(*net.IPNet); ok {
			list = append(list, urlOf(scheme, network.IP, tcp.Port))
		}
	}
	return list
}

func urlOf(scheme string, ip net.IP, port int) string {
	return scheme + "://" + net.JoinHostPort(ip.String(), strconv.Itoa(port))
}
