// Records what Go's text/template says, with the functions of docker's client: one JSON object a line on stdout.
//
//	go run record.go > recorded.jsonl            the templates below and some random ones
//	go run record.go -random 20000 -seed 7       many random ones, for a long comparison
//
// Each template is run on raw JSON ("raw": numbers as they are written, a missing key is an error) and on a struct
// ("shaped"). recorded.rs compares our engine with the lines.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"regexp"
	"strings"
	"text/template"
)

type Inner struct {
	A string
	B int
}

type Probe struct {
	Text   string
	Count  int
	Big    int64
	Small  uint16
	Ratio  float64
	Ok     bool
	List   []string
	Nums   []int
	None   []string
	Labels map[string]string
	NilMap map[string]string
	Inner  Inner
	Ptr    *Inner
	NilPtr *Inner
	Any    any
	Nil    any
	Many   []Inner
	Ptrs   map[string]*Inner
}

var probe = Probe{
	Text: "héllo wörld", Count: 3, Big: -7, Small: 80, Ratio: 2.5, Ok: true,
	List: []string{"a", "b", "c"}, Nums: []int{1, 2, 3}, Labels: map[string]string{"b": "2", "a.b": "1"},
	Inner: Inner{"x", 1}, Ptr: &Inner{"y", 2}, Any: "any", Many: []Inner{{"m", 1}, {"n", 2}},
	Ptrs: map[string]*Inner{"one": {"p", 1}},
}

const raw = `{"Text":"héllo wörld","Count":3,"Big":-7,"Small":80,"Ratio":2.5,"Ok":true,"List":["a","b","c"],"Nums":[1,2,3],
"None":[],"Labels":{"b":"2","a.b":"1"},"Inner":{"A":"x","B":1},"Nil":null,"Any":"any","Many":[{"A":"m","B":1},{"A":"n","B":2}],
"Mixed":[1,"x",null,true,{"k":[1,2]}],"Html":"<a href=\"x\">'&'</a>\n=é","Ptr":{"A":"y","B":2}}`

var functions = template.FuncMap{
	"json": func(v any) string {
		buf := &bytes.Buffer{}
		enc := json.NewEncoder(buf)
		enc.SetEscapeHTML(false)
		enc.Encode(v)
		return strings.TrimSpace(buf.String())
	},
	"split": strings.Split,
	"join": func(elems any, sep string) (string, error) {
		if elems == nil {
			return "", nil
		}
		if ss, ok := elems.([]string); ok {
			return strings.Join(ss, sep), nil
		}
		switch rv := reflect.ValueOf(elems); rv.Kind() {
		case reflect.Array, reflect.Slice:
			var b strings.Builder
			for i := range rv.Len() {
				if i > 0 {
					b.WriteString(sep)
				}
				fmt.Fprint(&b, rv.Index(i).Interface())
			}
			return b.String(), nil
		default:
			return "", fmt.Errorf("expected slice, got %T", elems)
		}
	},
	"title": strings.Title,
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
	"pad": func(s string, before, after int) string {
		if s == "" {
			return s
		}
		return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
	},
	"truncate": func(s string, n int) string {
		if len(s) < n {
			return s
		}
		return s[:n]
	},
}

var address = regexp.MustCompile("0x[0-9a-f]{6,}")

type line struct {
	Template string `json:"template"`
	Data     string `json:"data"`
	Text     string `json:"text,omitempty"`
	Error    string `json:"error,omitempty"`
}

func record(out *json.Encoder, text string) {
	for _, data := range []string{"raw", "shaped"} {
		l := line{Template: text, Data: data}
		t, err := template.New("").Funcs(functions).Parse(text)
		buf := &bytes.Buffer{}
		if err == nil {
			if data == "raw" {
				var v any
				dec := json.NewDecoder(strings.NewReader(raw))
				dec.UseNumber()
				dec.Decode(&v)
				err = t.Option("missingkey=error").Execute(buf, v)
			} else {
				err = t.Execute(buf, probe)
			}
		}
		if err != nil {
			l.Error = err.Error()
		} else {
			l.Text = buf.String()
		}
		if address.MatchString(l.Text + l.Error) {
			continue
		}
		out.Encode(l)
	}
}

var words = []string{
	".", "$", ".Text", ".Count", ".Big", ".Small", ".Ratio", ".Ok", ".List", ".Nums", ".None", ".Labels", ".Labels.b", ".NilMap", ".NilMap.x",
	".Inner", ".Inner.A", ".Inner.B", ".Ptr", ".Ptr.A", ".NilPtr", ".NilPtr.A", ".Any", ".Any.X", ".Nil", ".Nil.X", ".Many", ".Ptrs.one.A", ".Ptrs.two", ".Nope",
	".Mixed", ".Html", "$.Text", "$.List", "nil", "true", "false", "0", "1", "2", "-1", "3.5", "1e3", "0x1F", "'a'", `"text"`, "`raw`", `"a\tb"`, `""`, `"%v|"`, `"%q %d"`, `"%5s|%-5v|%05d"`, "x", "$x",
}

var calls = []string{
	"json", "split", "join", "title", "lower", "upper", "pad", "truncate", "and", "or", "not", "html", "js", "urlquery", "index", "slice", "len", "print",
	"println", "printf", "eq", "ne", "lt", "le", "gt", "ge", "call",
}

func operand(r *rand.Rand, depth int) string {
	if depth > 0 && r.Intn(6) == 0 {
		inner := "(" + pipe(r, depth-1) + ")"
		if r.Intn(4) == 0 {
			inner += []string{".A", ".B", ".X.Y"}[r.Intn(3)]
		}
		return inner
	}
	return words[r.Intn(len(words))]
}

func command(r *rand.Rand, depth int) string {
	if r.Intn(3) == 0 {
		return operand(r, depth)
	}
	text := calls[r.Intn(len(calls))]
	for range r.Intn(4) {
		text += " " + operand(r, depth)
	}
	return text
}

func pipe(r *rand.Rand, depth int) string {
	text := command(r, depth)
	for r.Intn(4) == 0 {
		text += " | " + command(r, depth)
	}
	return text
}

func body(r *rand.Rand, depth int) string {
	text := ""
	for range 1 + r.Intn(2) {
		switch n := r.Intn(14); {
		case n < 5 || depth == 0:
			text += "{{" + pipe(r, 2) + "}}"
		case n < 6:
			text += " {{- " + pipe(r, 1) + " -}} \n"
		case n < 7:
			text += "{{$x := " + pipe(r, 1) + "}}{{$x}}"
		case n < 8:
			text += "{{if " + pipe(r, 1) + "}}" + body(r, depth-1) + "{{else}}" + body(r, depth-1) + "{{end}}"
		case n < 9:
			text += "{{with " + pipe(r, 1) + "}}" + body(r, depth-1) + "{{else with .Inner}}" + body(r, depth-1) + "{{end}}"
		case n < 10:
			text += "{{range " + pipe(r, 1) + "}}" + body(r, depth-1) + ",{{else}}none{{end}}"
		case n < 11:
			text += "{{range $i, $x := " + pipe(r, 1) + "}}{{$i}}={{" + pipe(r, 1) + "}}{{if eq $i 1}}{{break}}{{end}}{{end}}"
		case n < 12:
			text += `{{define "t"}}` + body(r, depth-1) + `{{end}}{{template "t" ` + operand(r, 1) + `}}`
		case n < 13:
			text += "plain{{/* no */}}\n"
		default:
			text += []string{"{{", "}}", "{{end}}", "{{else}}", "{{.Text", "{{break}}", "{{if}}", "{{.Te-xt}}", "{{\"}}", "{{(.Text}}", "{{.Text)}}", "{{1 | .}}", "{{#}}", "{{3x}}"}[r.Intn(14)]
		}
	}
	return text
}

func main() {
	random := flag.Int("random", 0, "only this many random templates")
	seed := flag.Int64("seed", 1, "")
	flag.Parse()
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	count := *random
	if count == 0 {
		count = 400
		for _, text := range templates {
			record(out, text)
		}
	}
	r := rand.New(rand.NewSource(*seed))
	for range count {
		record(out, body(r, 2))
	}
}

var templates = []string{
	"plain", "", "{{.}}", "{{.Text}}", "{{ .Text }}", "{{.Inner}}", "{{.Inner.A}}", "{{.Inner.C}}", "{{.Nope}}", "{{.Nope.X}}", "{{.Text.X}}", "{{.Nil}}", "{{.Nil.X}}",
	"{{.NilPtr}}", "{{.NilPtr.A}}", "{{.NilPtr.C}}", "{{.Labels}}", "{{.Labels.b}}", "{{.Labels.x}}", `{{index .Labels "a.b"}}`, `{{index .Labels "x"}}`, "{{index .List 1}}",
	"{{index .List 5}}", "{{index .List -1}}", `{{index .List "x"}}`, "{{index .Many 1}}", `{{(index .Many 1).A}}`, "{{index .Text 1}}", "{{index .Nil 1}}", "{{index nil 1}}", "{{index .Count 1}}", "{{index .Inner 1}}",
	"{{slice .Text 0 3}}", "{{slice .List 1}}", "{{slice .List 1 2}}", "{{slice .List 2 1}}", "{{slice .List 0 9}}", "{{slice .List 0 1 2}}", "{{slice .Text 0 1 2}}", "{{slice .Count}}",
	"{{len .List}}", "{{len .Text}}", "{{len .Count}}", "{{len .Labels}}", "{{len .Nil}}", "{{len nil}}", "{{len .Nope}}", "{{len}}", "{{len 1 2}}", "{{.List | len}}", "{{len .None}}",
	"{{json .}}", "{{json .Inner}}", "{{json .Text}}", "{{json .Html}}", "{{json .Nil}}", "{{json nil}}", "{{json .List}}", "{{json .Ratio}}", "{{json}}", "{{.Inner | json}}", "{{json .NilMap}}", "{{json .None}}",
	`{{join .List ","}}`, `{{join .Nums "-"}}`, `{{join .Nil ","}}`, `{{join .Text ","}}`, `{{join .List 1}}`, `{{join .List}}`, `{{join .None ","}}`, `{{split "a,b" ","}}`, `{{join (split "a,b" ",") "+"}}`, `{{split "abc" ""}}`, `{{index (split .Text "l") 0}}`,
	"{{upper .Text}}", "{{lower .Text}}", "{{title .Text}}", `{{title "o'neil foo-bar_baz x1y"}}`, "{{upper .Count}}", "{{upper .Nil}}", "{{upper .Nope}}", "{{upper nil}}", "{{upper 1}}", "{{upper}}", "{{.Text | upper | lower}}",
	`{{pad .Text 1 2}}|`, `{{pad "" 1 2}}|`, `{{pad .Text -1 2}}|`, `{{truncate .Text 1}}`, `{{truncate .Text 100}}`, `{{truncate .Text -1}}`, `{{truncate .Text .Count}}`, `{{truncate .Text .Big}}`, `{{truncate .Text "x"}}`, `{{truncate .Text 1.5}}`,
	"{{if .Ok}}yes{{end}}", "{{if .Nil}}yes{{else}}no{{end}}", "{{if .Nope}}yes{{else}}no{{end}}", "{{if .None}}yes{{else if .List}}list{{else}}no{{end}}", "{{if 0}}a{{else if 0.0}}b{{else if \"\"}}c{{else}}d{{end}}", "{{if not .Ok}}1{{else}}2{{end}}",
	"{{with .Inner}}{{.A}}{{end}}", "{{with .Nil}}x{{else}}none{{end}}", "{{with .Nil}}x{{else with .Text}}{{.}}{{else}}y{{end}}", "{{with $x := .Inner}}{{$x.A}}{{.B}}{{end}}",
	"{{range .List}}{{.}},{{end}}", "{{range .None}}x{{else}}none{{end}}", "{{range $i, $x := .List}}{{$i}}{{$x}}{{end}}", "{{range $x := .List}}{{$x}}{{end}}", "{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "{{range .Labels}}{{.}}{{end}}",
	"{{range 3}}{{.}}{{end}}", "{{range $i, $x := 3}}{{.}}{{end}}", "{{range .Count}}{{.}}{{end}}", "{{range .Text}}x{{end}}", "{{range .Nil}}x{{else}}y{{end}}", "{{range .Nope}}x{{else}}y{{end}}", "{{range nil}}{{end}}", "{{range .Inner}}{{end}}", "{{range .Ok}}{{end}}",
	"{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "{{break}}", "{{continue}}", "{{range .List}}{{define \"x\"}}{{break}}{{end}}{{end}}", "{{$x := 1}}{{range .List}}{{$x = .}}{{end}}{{$x}}", "{{range $i, $x = .List}}{{end}}", "{{$i := 0}}{{$x := 0}}{{range $i, $x = .List}}{{end}}{{$i}}{{$x}}",
	"{{$x := .Text}}{{$x}}", "{{$x}}", "{{$x = 1}}", "{{$x := 1}}{{$x = 2}}{{$x}}", "{{if true}}{{$x := 1}}{{end}}{{$x}}", "{{$x, $y := .List}}", "{{range $x, $y, $z := .List}}{{end}}", "{{range $x, 1 := .List}}{{end}}", "{{$x := .Inner}}{{$x.A}}{{$.Text}}", "{{$x := .Text}}{{$x.A}}", "{{$x := .Nil}}{{$x.A}}", "{{$ .Text}}", "{{$x := 1}}{{$x 2}}",
	`{{define "a"}}[{{.}}]{{end}}{{template "a" .Text}}`, `{{template "a"}}`, `{{template "a" .Text}}`, `{{define "a"}}{{.Nope}}{{end}}{{template "a" .}}`, `{{define "a"}}{{.X}}{{end}}{{template "a"}}`, `{{block "b" .List}}{{len .}}{{end}}`, `{{define "a"}}1{{end}}{{define "a"}}2{{end}}{{template "a"}}`, `{{define "a"}}{{$}}{{end}}{{$x := 1}}{{template "a" $x}}`, `{{define "a"}}{{$x}}{{end}}`, `{{define a}}{{end}}`, `{{template a}}`, `{{define "a"}}`, `{{define "a"}}x{{else}}y{{end}}`,
	`{{eq .Text "x"}}`, `{{eq .Count 3}}`, `{{eq .Big -7}}`, `{{eq .Small 80}}`, `{{eq .Count "3"}}`, `{{eq .Ok true}}`, `{{eq .Text "a" "b" "héllo wörld"}}`, `{{eq 1}}`, `{{eq}}`, `{{eq .Nil nil}}`, `{{eq .Nil .Nil}}`, `{{eq .NilPtr nil}}`, `{{eq .List .List}}`, `{{eq .Labels .Labels}}`, `{{eq .None nil}}`, `{{eq .Inner .Inner}}`, `{{eq .Ratio 2.5}}`, `{{eq 1 1.0}}`, `{{eq .List "x"}}`, `{{eq .Nope nil}}`,
	`{{ne 1 2}}`, `{{ne 1 2 3}}`, `{{lt 1 2}}`, `{{lt "a" "b"}}`, `{{lt true false}}`, `{{lt .Inner 1}}`, `{{lt 1 "a"}}`, `{{le 2 2}}`, `{{gt 2 1}}`, `{{ge 1 2}}`, `{{lt .Small 100}}`, `{{gt .Big 0}}`, `{{lt 1.5 2.5}}`, `{{lt nil 1}}`,
	`{{and true .Text}}`, `{{and .Nil .Text}}`, `{{or .Nil .Text}}`, `{{or .Nil ""}}`, `{{and}}`, `{{or}}`, `{{not}}`, `{{not 1 2}}`, `{{and .Nil .Nope.X}}`, `{{or .Text .Nope.X}}`, `{{and 1 2 3}}`, `{{1 | and 0}}`, `{{1 | and 2}}`, `{{.Nil | or 0}}`, `{{or .Nope 1}}`,
	`{{printf "%s-%d" .Text 3}}`, `{{printf "%v %v %v" .List .Labels .Inner}}`, `{{printf "%+v" .Inner}}`, `{{printf "%#v" .Inner}}`, `{{printf "%#v" .List}}`, `{{printf "%q" .List}}`, `{{printf "%T %T %T %T" .Text .Count .List .Inner}}`, `{{printf "%x %X % x %#x" "hi" "hi" "hi" "hi"}}`, `{{printf "%d" .Text}}`, `{{printf "%s" 3}}`, `{{printf "%d"}}`, `{{printf "%d" 1 2}}`, `{{printf "%!"}}`, `{{printf "%"}}`, `{{printf "%z" 1}}`, `{{printf 1}}`, `{{printf}}`,
	`{{printf "%5d|%-5d|%05d|%+d|% d|%x|%X|%o|%O|%b|%c|%U|%#U|%q|%#x" 42 42 42 42 42 42 42 42 42 42 65 65 65 65 42}}`, `{{printf "%5s|%-5s|%.2s|%05s|%q|%#q" "abc" "abc" "abc" "abc" "a\"b" "abc"}}`, `{{printf "%f|%.2f|%8.3f|%e|%g|%G|%-8.1f|%+.1f|%08.2f" 3.14159 3.14159 3.14159 3.14159 3.14159 1e-10 2.5 2.5 -2.5}}`, `{{printf "%t|%v|%5t|%d" true false true true}}`, `{{printf "%*d|%-*d|%.*f" 5 42 5 42 2 3.14159}}`, `{{printf "%[2]d %[1]d" 1 2}}`, `{{printf "%[3]d" 1}}`, `{{printf "%[x]d" 1}}`, `{{printf "%v %v" nil .Nil}}`, `{{printf "%d" nil}}`, `{{printf "%v" .NilPtr}}`, `{{printf "%v" .Ptr}}`, `{{printf "%+v" .Ptr}}`, `{{printf "%s" .Nums}}`, `{{printf "%d" .Nums}}`, `{{printf "%03d" .Nums}}`, `{{printf "%5.1f|%d" .Ratio .Big}}`, `{{printf "%.3d|%.0d|%6.3d" 7 0 7}}`, `{{printf "%v" 1e6}}`, `{{printf "%v %v %v" 100000.0 1e21 1e-5}}`, `{{.Text | printf "%-15s|"}}`, `{{printf "%s" .Labels}}`, `{{printf "%q" 'x'}}`, `{{printf "%x" -42}}`, `{{printf "%6.2f%%" 12.345}}`, `{{printf "%v" .Many}}`, `{{printf "%#v" .Many}}`, `{{printf "%s" nil}}`, `{{printf "%p" .Text}}`, `{{printf "%.3v|%.3q|%.3x" "abcdef" "abcdef" "abcdef"}}`, `{{printf "%+q" "é"}}`,
	`{{print 1 2 "a" "b" 3 4 nil true}}`, `{{print}}`, `{{println 1 "a"}}`, `{{println}}`, `{{print .List .Inner}}`, `{{print "a" nil}}`, `{{html .Html}}`, `{{html "<a&'\">" 1}}`, `{{js "it's \"<x>\"=\n\\é"}}`, `{{urlquery "a b&c=é/~"}}`, `{{html nil}}`, `{{html .Nil}}`, `{{html}}`, `{{call .Text}}`, `{{call nil}}`, `{{call}}`,
	"{{1}} {{1.5}} {{1e3}} {{0x1F}} {{0b11}} {{0o17}} {{017}} {{1_000}} {{'a'}} {{-5}} {{+5}} {{1e-7}} {{0x1p4}} {{1.0}}", "{{1__0}}", "{{08}}", "{{9223372036854775807}}", "{{9223372036854775808}}", "{{99999999999999999999}}", "{{0xg}}", "{{1x}}", "{{.5}}", "{{5.}}", "{{''}}", "{{'ab'}}", "{{'\\n'}}", "{{\"\\x41\\u00e9\\n\"}}", "{{\"\\q\"}}", "{{`raw\\n`}}", "{{true}} {{false}}", "{{nil}}", "{{. | nil}}", "{{1 2}}", "{{.Text 1}}", "{{.Inner 1}}", "{{\"a\" 1}}", "{{1 | 2}}", "{{.Text | .Count}}", "{{(1) 2}}", "{{(.Inner).A}}", "{{(.Nope).A}}", "{{(nil).A}}", "{{nil.A}}", "{{1.A}}", "{{\"a\".B}}", "{{true.X}}", "{{..A}}", "{{.A.}}", "{{. A}}", "{{.Inner .A}}",
	"{{", "{{}}", "{{ }}", "{{.Text", "{{.Text}", "}}", "{{end}}", "{{else}}", "{{if .Ok}}", "{{if}}x{{end}}", "{{if .Ok}}a{{else}}b{{else}}c{{end}}", "{{range}}{{end}}", "{{with}}{{end}}", "{{if .Ok}}{{end}}{{end}}", "{{foo}}", "{{foo .Text}}", "{{.Text | foo}}", "{{.Text |}}", "{{| .Text}}", "{{.Text || .Text}}", "{{(.Text}}", "{{.Text)}}", "{{()}}", "{{\"abc}}", "{{`abc}}", "{{'a}}", "{{.Te-xt}}", "{{.Text+1}}", "{{#}}", "{{é}}", "{{\u00a0}}", "{{.Text:}}", "{{:=}}", "{{$x :}}", "{{a b}}", "{{if .Ok}}x{{else foo}}{{end}}", "{{end foo}}", "{{template}}", "{{block}}", "{{define}}", "{{.Text, .Text}}", "{{,}}", "{{break x}}", "{{%}}",
	"line one\nline two {{.Nope}}", "line one\n{{\n.Text\n}}", "line\n{{.Text\n", "a\n{{if\n.Ok}}b{{.Nope.X}}{{end}}", "a\n\n{{foo}}", "{{.Text\n|\nupper\n|\nfoo}}", "{{\n\"abc\n}}", "{{/* comment", "{{/* a */ b}}", "{{/* a */}}x", "x {{- /* a */ -}} y", "{{- .Text -}}", "a {{- .Count -}} b", "a {{-3}} b", "a {{- 3}} b", "a \n {{- .Count }} \n b", "a {{ .Count -}} \n b", "{{.Count-}}", "{{- }}", "{{ -}}", "{{-}}", "{{ - }}", "a{{\"}}\"}}b", "{{/*}}*/}}x",
	`{{range $i, $e := .Many}}{{if $i}}, {{end}}{{$e.A}}={{.B}}{{end}}`, `{{range .Many}}{{.A}}{{$.Count}}{{end}}`, `{{range .Mixed}}[{{.}}]{{end}}`, `{{range .Mixed}}{{if .}}{{.}}{{end}}{{end}}`, `{{index .Mixed 4}}`, `{{index .Mixed 2}}`, `{{(index .Mixed 4).k}}`, `{{index .Mixed 4 "k" 1}}`, `{{index .Mixed 0 1}}`, `{{len (index .Mixed 1)}}`, `{{.Mixed}}`, `{{printf "%v" .Mixed}}`, `{{json .Mixed}}`, `{{eq (index .Mixed 1) "x"}}`, `{{(index .Ptrs "one").A}}`, `{{index .Ptrs "two"}}`, `{{(index .Ptrs "two").A}}`, `{{.Ptrs.two.A}}`, `{{.Ptrs.one.A}}`, `{{with .Ptr}}{{.A}}{{end}}`, `{{.Ptr}}`, `{{if .NilPtr}}1{{else}}2{{end}}`, `{{.Any.X}}`, `{{upper .Any}}`, `{{.Many.A}}`, `{{.List.A}}`,
}
