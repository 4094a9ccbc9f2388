package token

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads a JSON object member by member. Its strings are parts of the source, which saves a copy of each. It is as
// strict as encoding/json/v2, but looks for names that come twice itself: for the few of a token that is much faster.
type reader struct {
	dec     jsontext.Decoder
	input   bytes.Buffer // a copy of the source
	source  string
	escapes bool     // there are escapes in it, as there hardly ever are
	names   []string // of the objects that are being read
	room    []string // for the elements of arrays, which all share one allocation if there are few
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// errType is returned for a value of the wrong JSON type.
var errType = errors.New("wrong type")

// readObject calls member for each member of the object that source is, positioned at its value. The errors it returns
// hold no text of the input.
func readObject(source string, member func(r *reader, name string) error) error {
	r := readers.Get().(*reader)
	defer r.giveBack()
	r.source, r.escapes = source, strings.IndexByte(source, '\\') >= 0
	r.input.Reset()
	r.input.WriteString(source)
	if err := plausibleObject(r.input.Bytes()); err != nil {
		return err
	}
	r.dec.Reset(&r.input, jsontext.AllowDuplicateNames(true))
	err := r.object(func(name string) error {
		err := member(r, name)
		if err != nil && errors.Is(err, errType) {
			return &memberError{name}
		}
		return err
	})
	if err == nil {
		if _, err = r.dec.ReadToken(); errors.Is(err, io.EOF) {
			return nil
		}
	}
	if wrong, ok := errors.AsType[*memberError](err); ok {
		return wrong
	}
	return errNotStrict
}

// giveBack lets the next one have the reader. Nothing may go on using it.
func (r *reader) giveBack() {
	r.source, r.room = "", nil
	readers.Put(r)
}

// object calls member for each member of an object, positioned at its value. It skips any other value.
func (r *reader) object(member func(name string) error) error {
	if r.dec.PeekKind() != '{' {
		return r.skip()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	begin := len(r.names)
	defer r.dropNames(begin)
	for {
		name, ok, err := r.name()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		r.names = append(r.names, name)
		if err := member(name); err != nil {
			return err
		}
	}
	if !unique(r.names[begin:]) {
		return errNotStrict
	}
	return nil
}

// dropNames drops the names from there on.
func (r *reader) dropNames(begin int) {
	clear(r.names[begin:])
	r.names = r.names[:begin]
}

// name reads the name of the next member, or the end of the object.
func (r *reader) name() (name string, ok bool, err error) {
	begin := r.dec.InputOffset()
	t, err := r.dec.ReadToken()
	if err != nil {
		return "", false, err
	}
	quoted := r.source[begin:r.dec.InputOffset()]
	if quoted[len(quoted)-1] == '}' {
		return "", false, nil
	}
	for quoted[0] != '"' { // a comma, or space
		quoted = quoted[1:]
	}
	if r.escapes && strings.IndexByte(quoted, '\\') >= 0 {
		return t.String(), true, nil
	}
	return quoted[1 : len(quoted)-1], true, nil
}

// unique reports whether no two names are the same. It may spoil the slice.
func unique(names []string) bool {
	const few = 64 // so many that the square of it is still little
	if len(names) > few {
		slices.Sort(names)
		return len(slices.Compact(names)) == len(names)
	}
	var seen [256]bool // by a hash: where it is not set, there is no need to look
	for i, name := range names {
		var hash byte
		if n := len(name); n > 0 {
			hash = 31*name[0] + 7*name[n/2] + 3*name[n/4] + name[n-1]
		}
		if seen[hash] && slices.Contains(names[:i], name) {
			return false
		}
		seen[hash] = true
	}
	return true
}

// value reads the value that comes next, whatever it is.
func (r *reader) value() (jsontext.Value, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	// Objects that are not read member by member are looked through for names that come twice by the library.
	if (v[0] == '{' || v[0] == '[') && bytes.IndexByte(v, '{') >= 0 && !v.IsValid() {
		return nil, errNotStrict
	}
	return v, nil
}

// skip reads the value that comes next and does nothing with it.
func (r *reader) skip() error {
	_, err := r.value()
	return err
}

// unquoted is the string of a value that was just read.
func (r *reader) unquoted(v jsontext.Value) (string, error) {
	if r.escapes && bytes.IndexByte(v, '\\') >= 0 {
		unquoted, err := jsontext.AppendUnquote(nil, v)
		return string(unquoted), err
	}
	end := int(r.dec.InputOffset())
	return r.source[end-len(v)+1 : end-1], nil
}

// strictText takes a string, or null for an empty one.
func (r *reader) strictText(to *string) error {
	kind, err := r.textOr(to)
	if err == nil && kind != '"' && kind != 'n' {
		return errType
	}
	return err
}

// text takes a string; anything else counts as an empty one.
func (r *reader) text(to *string) error {
	_, err := r.textOr(to)
	return err
}

// textOr takes a string, or else tells what is there instead.
func (r *reader) textOr(to *string) (kind jsontext.Kind, err error) {
	v, err := r.value()
	if err != nil || v[0] != '"' {
		return v.Kind(), err
	}
	*to, err = r.unquoted(v)
	return '"', err
}

// words takes a string of words with space between them (RFC 6749 §3.3), or null for none.
func (r *reader) words(to *[]string) error {
	var text string
	err := r.strictText(&text)
	*to = r.keep(slices.AppendSeq(r.list(), strings.FieldsSeq(text)))
	return err
}

// flag takes a boolean; anything else counts as false.
func (r *reader) flag(to *bool) error {
	v, err := r.value()
	*to = err == nil && v.Kind() == 't'
	return err
}

// latest is the end of the year 9999. What lies beyond is no date, and would overflow on the way to one.
const latest = 253402300799

// date takes a number from 0 to the end of the year 9999, and no null.
func (r *reader) date(to *NumericDate) error {
	v, err := r.value()
	if err != nil {
		return err
	}
	if v.Kind() != '0' {
		return errType
	}
	seconds := number(v)
	if seconds < 0 || seconds > latest {
		return errType
	}
	*to = NumericDate{seconds: int64(seconds), present: true}
	return nil
}

// number is the value of a number, an infinity if it is beyond all range.
func number(v jsontext.Value) float64 {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return float64(n) // as nearly always, and much faster
	}
	n, _ := strconv.ParseFloat(string(v), 64)
	return n
}

// audience takes a string or an array of strings (RFC 7519 §4.1.3), and no null.
func (r *reader) audience(to *[]string) error {
	if r.dec.PeekKind() == '"' {
		var one string
		_, err := r.textOr(&one)
		*to = r.keep(append(r.list(), one))
		return err
	}
	ok, err := r.array(to)
	if err == nil && !ok {
		return errType
	}
	return err
}

// texts takes an array of strings; anything else counts as none.
func (r *reader) texts(to *[]string) error {
	_, err := r.array(to)
	return err
}

// array reads an array of strings. It never takes a part of one: with a single element of another type, or for
// any other value, it reports false and leaves nothing.
func (r *reader) array(to *[]string) (ok bool, err error) {
	if r.dec.PeekKind() != '[' {
		return false, r.skip()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return false, err
	}
	list := r.list()
	ok = true
	for r.dec.PeekKind() != ']' {
		var element string
		kind, err := r.textOr(&element)
		if err != nil {
			return false, err
		}
		ok = ok && kind == '"'
		list = append(list, element)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return false, err
	}
	if ok {
		*to = r.keep(list)
	}
	return ok, nil
}

// list returns an empty list that has room.
func (r *reader) list() []string {
	if r.room == nil {
		r.room = make([]string, 0, 16)
	}
	return r.room
}

// keep returns a list that was begun with list, of which there must be no other since, for good.
func (r *reader) keep(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	r.room = list[len(list):]
	return slices.Clip(list)
}

// roles takes an object with an array of strings called roles.
func (r *reader) roles(to *[]string) error {
	return r.object(func(name string) error {
		if name == "roles" {
			return r.texts(to)
		}
		return r.skip()
	})
}

// clientRoles takes an object whose members are like realm_access.
func (r *reader) clientRoles(to *ClientRoles) error {
	return r.object(func(client string) error {
		*to = append(*to, ClientRole{Client: client})
		return r.roles(&(*to)[len(*to)-1].Roles)
	})
}
