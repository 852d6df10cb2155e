// Package peregrine_test keeps the import lattice of the root module.
package peregrine_test

import (
	"bufio"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "peregrine"

// edges are the imports that packages of this module may have beyond the
// standard library, each with its reason. A new arrow is one line here. An arrow
// that nothing uses any more must go.
var edges = map[string]string{
	"account/claimstore → account/operator": "reads when a token was issued and expires",
	"account/claimstore → " + nkeys:         "names of files are public keys",

	"account/operator → account":           "what claims say is put in accounts' terms",
	"account/operator → sublist":           "what templates become must be subjects",
	"account/operator → sublist/transform": "mappings of claims",
	"account/operator → " + jwt:            "claims of operators' accounts and users",
	"account/operator → " + nkeys:          "asks and answers of callouts are signed and sealed",

	"account → sublist":           "an account's interest is a subject list",
	"account → sublist/transform": "imports and mappings change subjects",
	"account → " + nkeys:          "clients sign nonces with their keys",
	"account → " + xcrypto:        "passwords are kept as bcrypt hashes",

	"cmd/peregrine → account":            "makes the directory of users and accounts",
	"cmd/peregrine → account/claimstore": "what becomes of deleted accounts",
	"cmd/peregrine → account/operator":   "whose signatures count",
	"cmd/peregrine → config":             "reads the file and puts options on top of it",
	"cmd/peregrine → internal/bench":     "sub-command bench",
	"cmd/peregrine → internal/logging":   "opens the log that the server writes to",
	"cmd/peregrine → " + xcrypto:         "sub-command passwd",
	"cmd/peregrine → " + xterm:           "passwords that are typed are not shown",
	"cmd/peregrine → loop":               "the type of the engine that it chooses",
	"cmd/peregrine → loop/epoll":         "one of the engines to choose from",
	"cmd/peregrine → loop/gnet":          "one of the engines to choose from",
	"cmd/peregrine → monitor":            "starts it and shows it the server",
	"cmd/peregrine → server":             "runs it",
	"certs → " + compress:                "answers of responders as the reference keeps them",
	"certs → " + xcrypto:                 "OCSP",
	"cmd/peregrine → certs":              "what a TLS block says",

	"cmd/peregrine → sublist/transform": "destinations of mappings",

	"cmd/peregrine → internal/storebench": "sub-command store bench",
	"cmd/peregrine → jetstream/commitlog": "dumps records of a log",
	"cmd/peregrine → jetstream/inspect":   "sub-command store",
	"cmd/peregrine → jetstream/store":     "keys and messages of a data directory",
	"cmd/peregrine → vfs":                 "opens a data directory to read",

	"config → config/grammar": "options are read from the parsed tree",

	"internal/bench → " + hdrhistogram: "latency distributions",
	"internal/bench → " + unix:         "epoll and processor affinity of the generator",

	"loop → " + gnet:       "socket options and accepting",
	"loop → " + unix:       "processor affinity, writev",
	"loop/epoll → " + unix: "epoll and eventfd",
	"loop/epoll → loop":    "implements loop.Engine",
	"loop/gnet → " + gnet:  "its poller is the engine",
	"loop/gnet → loop":     "implements loop.Engine",

	"server → account":            "sessions belong to accounts",
	"server → account/claimstore": "resolvers keep tokens in folders",
	"server → account/operator":   "clients and accounts are judged by tokens",
	"server → " + jwt:             "questions to services about clients; claims that are pushed",
	"server → codec":              "sessions speak the client protocol",
	"server → loop":               "sessions live on loops",
	"server → sublist":            "deliveries read match results",
	"server → sublist/transform":  "subjects of publishers are mapped",
	"server → " + nkeys:           "server ids and curve keys",
	"server → " + compress:        "traces are packed as their readers ask",
	"server → certs":              "what clients are shown with TLS and who is trusted",
	"server → codec/proxyproto":   "headers of proxies",

	"sublist/transform → sublist": "transforms test sources and destinations as subjects",

	"jetstream/commitlog → vfs":       "the log is files behind the disk seam",
	"jetstream/commitlog → " + xxhash: "checksums of records",

	"jetstream/engine → jetstream/commitlog":    "what stores write is durable there",
	"jetstream/engine → jetstream/store":        "the streams and consumers it keeps",
	"jetstream/engine → jetstream/store/seqset": "ranges of lost messages",
	"jetstream/engine → vfs":                    "the data directory",
	"jetstream/engine → " + xxhash:              "checksums of the catalog",

	"internal/storebench → jetstream/commitlog": "measures the log alone, too",
	"internal/storebench → jetstream/engine":    "what it measures",
	"internal/storebench → jetstream/store":     "messages to store",
	"internal/storebench → vfs":                 "the disk's own figures, through the same seam",
	"internal/storebench → " + unix:             "empties the page cache",

	"jetstream/inspect → jetstream/commitlog":    "looks at its files",
	"jetstream/inspect → jetstream/engine":       "has it open a directory on an overlay",
	"jetstream/inspect → jetstream/store":        "looks at streams and consumers",
	"jetstream/inspect → jetstream/store/seqset": "ranges of lost messages",
	"jetstream/inspect → vfs":                    "reads through the disk seam, and tries changes on an overlay",

	"jetstream/store → jetstream/store/seqset":      "deleted sequences",
	"jetstream/store → jetstream/store/subjecttree": "what is stored by subject",
	"jetstream/store → jetstream/store/timewheel":   "messages that expire",
	"jetstream/store → vfs":                         "blocks are files behind the disk seam",
	"jetstream/store → " + compress:                 "S2 compression of blocks",
	"jetstream/store → " + xcrypto:                  "ChaCha20-Poly1305",
	"jetstream/store → " + xxhash:                   "checksums of records",

	"vfs → " + unix: "direct I/O, preallocation and syncs of a disk",
}

// testEdges are further imports that the tests of a package may have.
var testEdges = map[string]string{
	"cmd/peregrine → jetstream/engine": "makes the directories that store looks at",

	"account/claimstore → " + jwt: "tokens to keep",

	"account → internal/seeds":             "random tests that can be repeated",
	"codec → internal/seeds":               "random tests that can be repeated",
	"jetstream/commitlog → internal/seeds": "random tests that can be repeated",
	"jetstream/engine → internal/seeds":    "random tests that can be repeated",
	"jetstream/store → internal/seeds":     "random tests that can be repeated",
	"sublist → internal/seeds":             "random tests that can be repeated",
	"sublist/transform → internal/seeds":   "random tests that can be repeated",

	"config → config/corpus":       "the files that both servers are asked about",
	"server → " + xcrypto:          "hashes of passwords to log in with",
	"server → loop/gnet":           "a server needs an engine to be tested",
	"loop/enginetest → loop":       "what every engine must do for a loop",
	"loop/enginetest → loop/epoll": "one of the engines under test",
	"loop/enginetest → loop/gnet":  "one of the engines under test",
	"loop/enginetest → " + unix:    "sockets as the loops get them",
}

// Modules from elsewhere, by the path that go.mod gives them.
const (
	compress     = "github.com/klauspost/compress"
	gnet         = "github.com/panjf2000/gnet/v2"
	jwt          = "github.com/nats-io/jwt/v2"
	hdrhistogram = "github.com/HdrHistogram/hdrhistogram-go"
	nkeys        = "github.com/nats-io/nkeys"
	unix         = "golang.org/x/sys"
	xcrypto      = "golang.org/x/crypto"
	xterm        = "golang.org/x/term"
	xxhash       = "github.com/cespare/xxhash/v2"
)

// pure folders compute: they do not touch files, sockets, processes or clocks.
var pure = map[string][]string{
	"codec":   {"net", "os", "os/exec", "syscall", "time"},
	"sublist": {"net", "os", "os/exec", "syscall"},

	"sublist/transform": {"net", "os", "os/exec", "syscall", "time"},
}

// source is one Go file and what it imports.
type source struct {
	folder  string // relative to the root, "." for the root itself
	file    string
	test    bool
	imports []string
}

func TestImportsPointDownwards(t *testing.T) {
	modules := requiredModules(t)
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, imported := range s.imports {
			target, isStandard := node(imported, modules)
			switch {
			case isStandard && !s.test && slices.Contains(pure[s.folder], imported):
				t.Errorf("%s imports %s, but %s/ does no I/O", s.file, imported, s.folder)
			case isStandard || target == s.folder:
			default:
				edge := s.folder + " → " + target
				used[edge] = true
				if !allowed(edge, s.test) {
					t.Errorf("%s: the edge %q is not in the lattice", s.file, edge)
				}
			}
		}
	}
	for _, list := range []map[string]string{edges, testEdges} {
		for edge, reason := range list {
			if reason == "" {
				t.Errorf("%q has no reason", edge)
			}
			if !used[edge] {
				t.Errorf("%q is allowed but nothing imports it: remove the line", edge)
			}
		}
	}
}

func allowed(edge string, test bool) bool {
	if _, ok := edges[edge]; ok {
		return true
	}
	_, ok := testEdges[edge]
	return ok && test
}

// No arrow of the lattice may close a circle between folders, tests included.
func TestLatticeHasNoCircles(t *testing.T) {
	next := map[string][]string{}
	for edge := range edges {
		from, to, _ := strings.Cut(edge, " → ")
		next[from] = append(next[from], to)
	}
	var walk func(at string, trail []string)
	walk = func(at string, trail []string) {
		if slices.Contains(trail, at) {
			t.Fatalf("circle: %s → %s", strings.Join(trail, " → "), at)
		}
		for _, to := range next[at] {
			walk(to, append(slices.Clone(trail), at))
		}
	}
	for from := range next {
		walk(from, nil)
	}
}

// Every package says in doc.go what it is.
func TestPackagesHaveDocFiles(t *testing.T) {
	has, folders := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		folders[s.folder] = folders[s.folder] || !s.test
		has[s.folder] = has[s.folder] || path.Base(s.file) == "doc.go"
	}
	for folder, counts := range folders {
		if counts && !has[folder] {
			t.Errorf("%s has no doc.go", folder)
		}
	}
}

// node names what an import path belongs to: a folder of this module, a required
// module, or the standard library.
func node(imported string, modules []string) (name string, isStandard bool) {
	if rest, ok := strings.CutPrefix(imported, module+"/"); ok {
		return rest, false
	}
	for _, m := range modules {
		if imported == m || strings.HasPrefix(imported, m+"/") {
			return m, false
		}
	}
	return "", true
}

// requiredModules reads the requirements of go.mod.
func requiredModules(t *testing.T) (modules []string) {
	t.Helper()
	f, err := os.Open("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(strings.TrimPrefix(lines.Text(), "require "))
		if len(fields) >= 2 && strings.Contains(fields[0], ".") && strings.HasPrefix(fields[1], "v") {
			modules = append(modules, fields[0])
		}
	}
	if len(modules) == 0 {
		t.Fatal("go.mod requires nothing, or is written in a way this test does not read")
	}
	return modules
}

// sources parses the imports of every Go file of the root module, whatever its
// build constraints are.
func sources(t *testing.T) (all []source) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skipFolder(name)
		case filepath.Ext(name) != ".go":
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{folder: filepath.ToSlash(filepath.Dir(name)), file: filepath.ToSlash(name), test: strings.HasSuffix(name, "_test.go")}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// skipFolder leaves out what the go command leaves out, and other modules.
func skipFolder(name string) error {
	if name == "." {
		return nil
	}
	base := filepath.Base(name)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "bin" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}
