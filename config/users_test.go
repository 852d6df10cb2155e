package config

import (
	"encoding/json"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// readByOthers are the fields and methods of this package's types, as "Type.Field",
// that other packages of the program ask for, and ".Field" for any type. A field that is only assigned to is
// not asked for. It is the compiler's view: names that are equal by accident do
// not count.
func readByOthers(t *testing.T) map[string]bool {
	t.Helper()
	packages := listPackages(t)
	exports := make(map[string]string)
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	read := make(map[string]bool)
	users := 0
	for _, p := range packages {
		if p.Standard || !slices.Contains(p.Imports, "peregrine/config") {
			continue
		}
		users++
		files := token.NewFileSet()
		find := importer.ForCompiler(files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
		var parsed []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, file)
		}
		info := &types.Info{Selections: make(map[*ast.SelectorExpr]*types.Selection)}
		if _, err := (&types.Config{Importer: find}).Check(p.ImportPath, files, parsed, info); err != nil {
			t.Fatal(err)
		}
		addReads(read, info, parsed)
	}
	if users == 0 {
		t.Fatal("no package of the program imports this one")
	}
	return read
}

// addReads adds what files ask of this package's types.
func addReads(read map[string]bool, info *types.Info, files []*ast.File) {
	assigned := make(map[ast.Expr]bool)
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.ASSIGN {
				for _, left := range a.Lhs {
					assigned[left] = true
				}
			}
			return true
		})
	}
	for expr, selection := range info.Selections {
		owner := selection.Recv()
		if pointer, ok := owner.(*types.Pointer); ok {
			owner = pointer.Elem()
		}
		named, ok := owner.(*types.Named)
		if !ok || assigned[expr] || named.Obj().Pkg() == nil || named.Obj().Pkg().Path() != "peregrine/config" {
			continue
		}
		read[named.Obj().Name()+"."+selection.Obj().Name()] = true
		read["."+selection.Obj().Name()] = true
	}
}

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Dir, Export string
	Standard                bool
	GoFiles, Imports        []string
}

// listPackages lists the program's packages and what they import. Compiled
// packages come from the build cache.
func listPackages(t *testing.T) (all []goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,Standard,GoFiles,Imports", "peregrine/cmd/peregrine")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for in := json.NewDecoder(out); ; {
		var p goPackage
		if err := in.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}
