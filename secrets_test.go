package peregrine_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretFields are the names of fields that hold what nobody may guess.
var secretFields = []string{"Pass", "Password", "Token", "Sig", "ProxySig", "Nonce"}

// comparesSecrets are the functions that compare such fields in a plain way, each
// with the reason why time tells nothing there.
var comparesSecrets = map[string]string{
	"account.samePlain":         "hashes, in constant time",
	"account.sameHashed":        "bcrypt",
	"server.sameForAll":         "two states of the configuration",
	"server.session.reviewUser": "two states of the configuration",
	"server.claims.push":        "two tokens of an account, which are public",
	"server.claims.commit":      "two tokens of an account, which are public",
}

// Whether a secret that somebody sent is the right one is found out by one
// function for plain ones and by one for hashes. Nothing else compares, looks up
// or searches by a field that holds one, or by a parameter that is given one.
func TestSecretsAreComparedInOnePlace(t *testing.T) {
	set := token.NewFileSet()
	packages := make(map[string][]*ast.FuncDecl) // by folder and name
	for _, folder := range []string{"account", "server", "monitor", "cmd"} {
		err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				return err
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
					packages[filepath.Dir(name)+" "+file.Name.Name] = append(packages[filepath.Dir(name)+" "+file.Name.Name], f)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	used := make(map[string]bool)
	for pkg, all := range packages {
		_, name, _ := strings.Cut(pkg, " ")
		given := secretParameters(all)
		for _, f := range all {
			who := qualified(name, f)
			for _, at := range comparisons(f.Body, given[f]) {
				used[who] = true
				if comparesSecrets[who] == "" {
					t.Errorf("%s compares a secret at %v", who, set.Position(at))
				}
			}
		}
	}
	for who := range comparesSecrets {
		if !used[who] {
			t.Errorf("%s compares no secret: its line can go", who)
		}
	}
}

// secrets are the parameters of a function that are given secrets.
type secrets map[string]bool

// secretParameters follows secrets into the functions of a package that get them
// as arguments. Functions of one name count as one.
func secretParameters(all []*ast.FuncDecl) map[*ast.FuncDecl]secrets {
	given := make(map[*ast.FuncDecl]secrets)
	named := make(map[string][]*ast.FuncDecl)
	for _, f := range all {
		given[f] = make(secrets)
		named[f.Name.Name] = append(named[f.Name.Name], f)
	}
	for more := true; more; {
		more = false
		for _, f := range all {
			ast.Inspect(f.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				for _, callee := range named[called(call)] {
					names := parameters(callee)
					for i, arg := range call.Args {
						if i < len(names) && given[f].has(arg) && !given[callee][names[i]] {
							given[callee][names[i]], more = true, true
						}
					}
				}
				return true
			})
		}
	}
	return given
}

// called returns the name of what is called, without where it is from.
func called(call *ast.CallExpr) string {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		return fun.Sel.Name
	}
	return ""
}

func parameters(f *ast.FuncDecl) (names []string) {
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// qualified returns package, type and name of a function.
func qualified(pkg string, f *ast.FuncDecl) string {
	if f.Recv == nil {
		return pkg + "." + f.Name.Name
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return pkg + "." + name.Name + "." + f.Name.Name
	}
	return pkg + ".?." + f.Name.Name
}

// comparisons finds where a secret meets something other than an empty text.
func comparisons(body ast.Node, given secrets) (found []token.Pos) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (given.has(n.X) && !empty(n.Y) || given.has(n.Y) && !empty(n.X)) {
				found = append(found, n.OpPos)
			}
		case *ast.IndexExpr:
			if given.has(n.Index) {
				found = append(found, n.Pos())
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && given.has(n.Tag) {
				found = append(found, n.Pos())
			}
		case *ast.CallExpr:
			if kind := compares(n.Fun); kind == cryptic || kind == plainly && slices.ContainsFunc(n.Args, given.hasCopy) {
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}

// How a function compares.
type comparing int

const (
	notAtAll comparing = iota
	plainly
	cryptic // for secrets alone
)

// compares tells whether a function's answer depends on what its arguments have
// in common.
func compares(fun ast.Expr) comparing {
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return notAtAll
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return notAtAll
	}
	switch pkg.Name + "." + sel.Sel.Name {
	case "subtle.ConstantTimeCompare", "hmac.Equal", "bcrypt.CompareHashAndPassword":
		return cryptic
	}
	if slices.Contains([]string{"bytes", "strings", "slices"}, pkg.Name) &&
		slices.Contains([]string{"Equal", "EqualFold", "Compare", "Contains", "Index", "HasPrefix", "HasSuffix"}, sel.Sel.Name) {
		return plainly
	}
	return notAtAll
}

// has tells whether x is a secret.
func (given secrets) has(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return given[x.Name]
	case *ast.SelectorExpr:
		return slices.Contains(secretFields, x.Sel.Name)
	case *ast.ParenExpr:
		return given.has(x.X)
	}
	return false
}

// hasCopy is has, also for []byte(x) and x[:].
func (given secrets) hasCopy(x ast.Expr) bool {
	switch y := x.(type) {
	case *ast.CallExpr:
		return len(y.Args) == 1 && given.hasCopy(y.Args[0])
	case *ast.SliceExpr:
		return given.hasCopy(y.X)
	}
	return given.has(x)
}

func empty(x ast.Expr) bool {
	lit, ok := x.(*ast.BasicLit)
	return ok && lit.Value == `""`
}
