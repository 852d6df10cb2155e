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
// or searches by a field that holds one.
func TestSecretsAreComparedInOnePlace(t *testing.T) {
	used := make(map[string]bool)
	for _, folder := range []string{"account", "server", "monitor", "cmd"} {
		err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, name, nil, 0)
			if err != nil {
				return err
			}
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || f.Body == nil {
					continue
				}
				who := qualified(file.Name.Name, f)
				for _, at := range comparisons(f.Body) {
					used[who] = true
					if comparesSecrets[who] == "" {
						t.Errorf("%s compares a secret at %v", who, set.Position(at))
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for who := range comparesSecrets {
		if !used[who] {
			t.Errorf("%s compares no secret: its line can go", who)
		}
	}
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
func comparisons(body ast.Node) (found []token.Pos) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.EQL || n.Op == token.NEQ) && (secret(n.X) && !empty(n.Y) || secret(n.Y) && !empty(n.X)) {
				found = append(found, n.OpPos)
			}
		case *ast.IndexExpr:
			if secret(n.Index) {
				found = append(found, n.Pos())
			}
		case *ast.SwitchStmt:
			if n.Tag != nil && secret(n.Tag) {
				found = append(found, n.Pos())
			}
		case *ast.CallExpr:
			if kind := compares(n.Fun); kind == cryptic || kind == plainly && slices.ContainsFunc(n.Args, secretOrCopy) {
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

func secret(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.SelectorExpr:
		return slices.Contains(secretFields, x.Sel.Name)
	case *ast.ParenExpr:
		return secret(x.X)
	}
	return false
}

// secretOrCopy is secret, also for []byte(x) and x[:].
func secretOrCopy(x ast.Expr) bool {
	switch y := x.(type) {
	case *ast.CallExpr:
		return len(y.Args) == 1 && secretOrCopy(y.Args[0])
	case *ast.SliceExpr:
		return secretOrCopy(y.X)
	}
	return secret(x)
}

func empty(x ast.Expr) bool {
	lit, ok := x.(*ast.BasicLit)
	return ok && lit.Value == `""`
}
