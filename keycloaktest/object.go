package keycloaktest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// object is a JSON object that keeps the order of its members, because a token should look like one of Keycloak's.
type object struct {
	names  []string
	values map[string]any
}

func newObject() *object { return &object{values: map[string]any{}} }

// set replaces the member in its place, or adds it at the end.
func (o *object) set(name string, value any) {
	if _, ok := o.values[name]; !ok {
		o.names = append(o.names, name)
	}
	o.values[name] = value
}

func (o *object) remove(name string) {
	if _, ok := o.values[name]; !ok {
		return
	}
	delete(o.values, name)
	o.names = slices.DeleteFunc(o.names, func(n string) bool { return n == name })
}

// only returns the members for which keep holds.
func (o *object) only(keep func(name string) bool) *object {
	kept := newObject()
	for _, name := range o.names {
		if keep(name) {
			kept.set(name, o.values[name])
		}
	}
	return kept
}

// sortBy puts the members that order names first, in that order.
func (o *object) sortBy(order []string) {
	place := func(name string) int {
		if i := slices.Index(order, name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(o.names, func(a, b string) int { return place(a) - place(b) })
}

// number is a NumericDate that was read from JSON, 0 if it is none.
func (o *object) number(name string) int64 {
	n, _ := o.values[name].(json.Number)
	f, _ := n.Float64()
	return int64(f)
}

func (o *object) text(name string) string {
	s, _ := o.values[name].(string)
	return s
}

// MarshalJSON implements json.Marshaler.
func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(o.values[name])
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *object) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	o.names, o.values = nil, map[string]any{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return err
		}
		o.set(name.(string), value)
	}
	return nil
}

// payload is what a token says, verified or not.
func payload(token string) (*object, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a token")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	o := newObject()
	return o, json.Unmarshal(text, o)
}
