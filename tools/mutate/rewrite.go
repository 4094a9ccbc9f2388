package main

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/types/typeutil"
)

// A mutant is one change to the code, which a test should notice.
type mutant struct {
	id      int
	file    string // relative to the module
	line    int
	fn      string // the function it is in
	was, is string // what is changed, and to what
	source  string // the line that it begins on
}

// String names the mutant without its place in the file, so that it is recognised after the file has grown.
func (m mutant) String() string {
	return fmt.Sprintf("%s %s: %#q becomes %#q in %#q", m.file, m.fn, m.was, m.is, m.source)
}

// switchSource is added to each package that is rewritten; what is written into its code calls it.
//
//go:embed switch.go.txt
var switchSource string

// rewriter writes all mutants into one file of a package, each behind a switch. It only inserts text into the source,
// so that lines stay where they are.
type rewriter struct {
	pkg  *packages.Package
	ast  *ast.File
	file string // relative to the module
	src  string

	fn      string           // the function that it is in
	results *types.Signature // of the function that returns go to

	before, after map[int]string // text to insert, by offset
	operators     map[int]int    // operators to replace with a comma: offset and length

	mutants []mutant
	next    int // ID of the next mutant
}

// rewrite returns the source of a file with all its mutants switched off, and the mutants. Their IDs begin at first.
func rewrite(pkg *packages.Package, f *ast.File, file, src string, first int) (string, []mutant) {
	r := &rewriter{
		pkg: pkg, ast: f, file: file, src: src, next: first,
		before: make(map[int]string), after: make(map[int]string), operators: make(map[int]int),
	}
	for _, decl := range f.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				r.fn = nameOf(d)
				r.function(pkg.TypesInfo.Defs[d.Name].Type(), d.Body)
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR {
				for _, spec := range d.Specs {
					r.fn = spec.(*ast.ValueSpec).Names[0].Name
					r.exprs(spec.(*ast.ValueSpec).Values)
				}
			}
		}
	}
	return r.rewritten(), r.mutants
}

// nameOf is Function or Type.Method.
func nameOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	return types.ExprString(t) + "." + d.Name.Name
}

// rewritten applies what is to be inserted and replaced.
func (r *rewriter) rewritten() string {
	offsets := make(map[int]bool)
	for offset := range r.before {
		offsets[offset] = true
	}
	for offset := range r.after {
		offsets[offset] = true
	}
	for offset := range r.operators {
		offsets[offset] = true
	}
	var b strings.Builder
	done := 0
	for _, offset := range slices.Sorted(maps.Keys(offsets)) {
		b.WriteString(r.src[done:offset])
		b.WriteString(r.after[offset] + r.before[offset])
		done = offset
		if n := r.operators[offset]; n > 0 {
			b.WriteByte(',')
			done += n
		}
	}
	b.WriteString(r.src[done:])
	return b.String()
}

func (r *rewriter) offset(p token.Pos) int { return r.pkg.Fset.Position(p).Offset }

// text is the source of a node, in one line that is not too long to read.
func (r *rewriter) text(n ast.Node) string {
	const most = 90
	s := []rune(strings.Join(strings.Fields(r.src[r.offset(n.Pos()):r.offset(n.End())]), " "))
	if len(s) > most {
		return string(s[:most]) + "…"
	}
	return string(s)
}

// note takes down a mutant and returns its ID.
func (r *rewriter) note(n ast.Node, was, is string) int {
	at := r.pkg.Fset.Position(n.Pos())
	line := strings.Split(r.src, "\n")[at.Line-1]
	m := mutant{id: r.next, file: r.file, line: at.Line, fn: r.fn, was: was, is: is, source: strings.TrimSpace(line)}
	r.mutants = append(r.mutants, m)
	r.next++
	return m.id
}

// wrap puts text around a node. What is put around a part of it later comes inside.
func (r *rewriter) wrap(n ast.Node, prefix, suffix string) {
	begin, end := r.offset(n.Pos()), r.offset(n.End())
	r.before[begin] += prefix
	r.after[end] = suffix + r.after[end]
}

// function rewrites the body of a function.
func (r *rewriter) function(t types.Type, body *ast.BlockStmt) {
	outer := r.results
	r.results = t.Underlying().(*types.Signature)
	r.list(body.List)
	r.results = outer
}

// list rewrites statements that follow one another, where one can be left out.
func (r *rewriter) list(stmts []ast.Stmt) {
	for _, s := range stmts {
		if r.removable(s) {
			id := r.note(s, r.text(s), "nothing")
			r.wrap(s, fmt.Sprintf("if !mutantOn(%d) { ", id), " }")
		}
		r.stmt(s)
	}
}

// removable reports whether what is left without the statement compiles.
func (r *rewriter) removable(s ast.Stmt) bool {
	switch s := s.(type) {
	case *ast.AssignStmt:
		return s.Tok != token.DEFINE && !isBlank(s.Lhs)
	case *ast.ReturnStmt:
		return r.results.Results().Len() == 0
	case *ast.BranchStmt:
		return s.Tok != token.FALLTHROUGH
	case *ast.ExprStmt:
		return !isPanic(s.X) || r.results.Results().Len() == 0 // a function with results may end with one
	case *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
		return true
	}
	return false
}

func isPanic(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	return ok && types.ExprString(call.Fun) == "panic"
}

func isBlank(exprs []ast.Expr) bool {
	return !slices.ContainsFunc(exprs, func(e ast.Expr) bool {
		name, ok := e.(*ast.Ident)
		return !ok || name.Name != "_"
	})
}

// stmt rewrites what is in a statement. s may be nil.
func (r *rewriter) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.ExprStmt:
		r.parts(s.X)
	case *ast.AssignStmt:
		r.exprs(s.Rhs)
	case *ast.DeferStmt:
		r.parts(s.Call)
	case *ast.GoStmt:
		r.parts(s.Call)
	case *ast.SendStmt:
		r.expr(s.Value)
	case *ast.ReturnStmt:
		r.dropError(s)
		r.exprs(s.Results)
	case *ast.BlockStmt:
		r.list(s.List)
	case *ast.LabeledStmt:
		r.stmt(s.Stmt)
	case *ast.DeclStmt:
		if d := s.Decl.(*ast.GenDecl); d.Tok == token.VAR {
			for _, spec := range d.Specs {
				r.exprs(spec.(*ast.ValueSpec).Values)
			}
		}
	case *ast.IfStmt:
		r.stmt(s.Init)
		r.condition(s.Cond, true, true)
		r.list(s.Body.List)
		r.stmt(s.Else)
	case *ast.ForStmt:
		r.stmt(s.Init)
		if s.Cond != nil {
			r.condition(s.Cond, false, true) // always true would only be an endless loop
		}
		r.list(s.Body.List)
	case *ast.RangeStmt:
		r.expr(s.X)
		r.list(s.Body.List)
	case *ast.SwitchStmt:
		r.stmt(s.Init)
		if s.Tag != nil {
			r.expr(s.Tag)
		}
		r.cases(s)
	case *ast.TypeSwitchStmt:
		for _, clause := range s.Body.List {
			r.list(clause.(*ast.CaseClause).Body)
		}
	case *ast.SelectStmt:
		for _, clause := range s.Body.List {
			r.list(clause.(*ast.CommClause).Body)
		}
	}
}

// cases rewrites the cases of a switch: without a tag they are conditions, with one they are made equal to nothing.
func (r *rewriter) cases(s *ast.SwitchStmt) {
	for _, clause := range s.Body.List {
		c := clause.(*ast.CaseClause)
		for _, e := range c.List {
			if s.Tag == nil {
				r.condition(e, true, true)
			} else {
				r.never(e, s.Tag)
			}
		}
		r.list(c.Body)
	}
}

func (r *rewriter) never(e, tag ast.Expr) {
	t := r.pkg.TypesInfo.TypeOf(tag)
	basic, ok := t.Underlying().(*types.Basic)
	name, named := r.nameOfType(t)
	if !ok || !named {
		return
	}
	switch {
	case basic.Info()&types.IsString != 0:
		r.wrap(e, fmt.Sprintf("mutantText[%s](%d, ", name, r.note(e, r.text(e), "nothing")), ")")
	case basic.Info()&types.IsInteger != 0:
		r.wrap(e, fmt.Sprintf("mutantOther[%s](%d, ", name, r.note(e, r.text(e), "another")), ")")
	}
}

// dropError makes a return forget its error.
func (r *rewriter) dropError(s *ast.ReturnStmt) {
	results := r.results.Results()
	if len(s.Results) == 0 || results.Len() == 0 {
		return
	}
	last := results.At(results.Len() - 1).Type()
	name, named := r.nameOfType(last)
	if !named || !types.Implements(last, errorType) {
		return
	}
	e := s.Results[len(s.Results)-1]
	switch {
	case r.pkg.TypesInfo.Types[e].IsNil():
	case len(s.Results) == results.Len():
		r.wrap(e, fmt.Sprintf("mutantZero[%s](%d, ", name, r.note(e, r.text(s), "no error")), ")")
	case name == "error" && (results.Len() == 2 || results.Len() == 3): // a call that returns all of them
		r.wrap(e, fmt.Sprintf("mutantZero%d(", results.Len()), fmt.Sprintf(")(%d)", r.note(e, r.text(s), "no error")))
	}
}

var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

// nameOfType is how the file would write a type, if it can.
func (r *rewriter) nameOfType(t types.Type) (string, bool) {
	ok := true
	name := types.TypeString(t, func(p *types.Package) string {
		if p == r.pkg.Types {
			return ""
		}
		for _, spec := range r.ast.Imports {
			if strings.Trim(spec.Path.Value, `"`) == p.Path() {
				if spec.Name != nil {
					return spec.Name.Name
				}
				return p.Name()
			}
		}
		ok = false
		return p.Name()
	})
	return name, ok
}

// condition makes a condition true or false for ever, as wanted. Of a compound one each operand is taken away in turn;
// what the tests that notice that would notice as well is left out.
func (r *rewriter) condition(e ast.Expr, always, never bool) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		r.condition(e.X, always, never)
		return
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			r.condition(e.X, never, always)
			return
		}
	case *ast.BinaryExpr:
		switch e.Op {
		case token.LAND:
			r.fix(e, false, never)
			r.condition(e.X, true, false)
			r.condition(e.Y, true, false)
			return
		case token.LOR:
			r.fix(e, always, false)
			r.condition(e.X, false, true)
			r.condition(e.Y, false, true)
			return
		}
	}
	r.fix(e, always, never)
	r.boundary(e)
	r.parts(e)
}

// fix makes an expression true or false for ever.
func (r *rewriter) fix(e ast.Expr, always, never bool) {
	if v := r.pkg.TypesInfo.Types[e].Value; v != nil {
		always, never = always && !constant.BoolVal(v), never && constant.BoolVal(v)
	}
	var yes, no int
	if always {
		yes = r.note(e, r.text(e), "true")
	}
	if never {
		no = r.note(e, r.text(e), "false")
	}
	if always || never {
		r.wrap(e, fmt.Sprintf("mutantBool(%d, %d, ", yes, no), ")")
	}
}

// boundary moves the boundary of a comparison by one value.
func (r *rewriter) boundary(e ast.Expr) {
	b, ok := e.(*ast.BinaryExpr)
	if !ok || r.pkg.TypesInfo.Types[e].Value != nil {
		return
	}
	swapped := map[token.Token]token.Token{token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR}
	is, ok := swapped[b.Op]
	if !ok {
		return
	}
	// a > b is not a <= b, and a >= b is not a < b; that is how two functions serve for four operators.
	call := map[token.Token]string{
		token.LSS: "mutantLess(", token.LEQ: "mutantLessEqual(", token.GTR: "!mutantLessEqual(", token.GEQ: "!mutantLess(",
	}[b.Op]
	id := r.note(e, r.text(e), r.text(b.X)+" "+is.String()+" "+r.text(b.Y))
	r.operands(b, fmt.Sprintf("%s%d, ", call, id))
}

// operands turns a binary expression into a call with its operands.
func (r *rewriter) operands(b *ast.BinaryExpr, call string) {
	r.operators[r.offset(b.OpPos)] = len(b.Op.String())
	r.wrap(b, call, ")")
}

func (r *rewriter) exprs(list []ast.Expr) {
	for _, e := range list {
		r.expr(e)
	}
}

// expr rewrites an expression whose value is used.
func (r *rewriter) expr(e ast.Expr) {
	tv, ok := r.pkg.TypesInfo.Types[e]
	if !ok || !tv.IsValue() {
		return
	}
	basic, ok := tv.Type.Underlying().(*types.Basic)
	switch {
	case ok && basic.Info()&types.IsBoolean != 0:
		r.condition(e, true, true)
	case tv.Value != nil:
		r.number(e, tv.Type)
	default:
		r.parts(e)
	}
}

// number makes a constant number larger. Characters are left alone: they are compared, which is changed already.
func (r *rewriter) number(e ast.Expr, t types.Type) {
	basic, ok := t.Underlying().(*types.Basic)
	literal, isLiteral := ast.Unparen(e).(*ast.BasicLit)
	name, named := r.nameOfType(t)
	switch {
	case !ok || !named || basic.Info()&(types.IsInteger|types.IsFloat) == 0 || isLiteral && literal.Kind == token.CHAR:
	case name == "time.Duration" && constant.Sign(r.pkg.TypesInfo.Types[e].Value) != 0:
		r.wrap(e, fmt.Sprintf("mutantTwice[%s](%d, ", name, r.note(e, r.text(e), "2 * "+r.text(e))), ")")
	default:
		r.wrap(e, fmt.Sprintf("mutantMore[%s](%d, ", name, r.note(e, r.text(e), r.text(e)+" + 1")), ")")
	}
}

// parts rewrites what an expression is made of.
func (r *rewriter) parts(e ast.Expr) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		r.expr(e.X)
	case *ast.SelectorExpr:
		r.expr(e.X)
	case *ast.StarExpr:
		r.expr(e.X)
	case *ast.TypeAssertExpr:
		r.expr(e.X)
	case *ast.UnaryExpr:
		if _, ok := e.X.(*ast.CompositeLit); ok || e.Op != token.AND {
			r.expr(e.X)
		}
	case *ast.BinaryExpr:
		r.arithmetic(e)
		r.expr(e.X)
		r.expr(e.Y)
	case *ast.IndexExpr:
		r.expr(e.X)
		r.expr(e.Index)
	case *ast.SliceExpr:
		for _, part := range []ast.Expr{e.X, e.Low, e.High, e.Max} {
			if part != nil {
				r.expr(part)
			}
		}
	case *ast.CallExpr:
		r.parts(e.Fun)
		if !r.isWords(e) {
			r.exprs(e.Args)
		}
	case *ast.CompositeLit:
		for _, element := range e.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok {
				element = pair.Value
			}
			r.expr(element)
		}
	case *ast.FuncLit:
		r.function(r.pkg.TypesInfo.TypeOf(e), e.Body)
	}
}

// isWords reports whether a call makes text for people: what exactly it says is not tested. make is taken for one, too,
// since capacities change nothing.
func (r *rewriter) isWords(call *ast.CallExpr) bool {
	callee := typeutil.Callee(r.pkg.TypesInfo, call)
	switch {
	case callee == nil:
		return false
	case callee.Pkg() == nil:
		return callee.Name() == "make"
	}
	return callee.Pkg().Path() == "fmt" || callee.Pkg().Path() == "log/slog"
}

// arithmetic swaps an operator with its inverse.
func (r *rewriter) arithmetic(b *ast.BinaryExpr) {
	basic, ok := r.pkg.TypesInfo.TypeOf(b).Underlying().(*types.Basic)
	if !ok || basic.Info()&(types.IsInteger|types.IsFloat) == 0 {
		return
	}
	calls := map[token.Token]struct {
		name string
		is   token.Token
	}{
		token.ADD: {"mutantAdd", token.SUB},
		token.SUB: {"mutantSubtract", token.ADD},
		token.MUL: {"mutantMultiply", token.QUO},
		token.QUO: {"mutantDivide", token.MUL},
	}
	if call, ok := calls[b.Op]; ok {
		id := r.note(b, r.text(b), r.text(b.X)+" "+call.is.String()+" "+r.text(b.Y))
		r.operands(b, fmt.Sprintf("%s(%d, ", call.name, id))
	}
}

// relative is a path as seen from the module's root, with slashes.
func relative(root, path string) string {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}
