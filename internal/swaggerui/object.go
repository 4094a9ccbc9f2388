package swaggerui

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// object is a JSON object that keeps its members in order, and as they are written where nobody changes them: a
// document's order is its author's, and its numbers need not fit a float64.
type object []member

type member struct {
	name  string
	value jsontext.Value
}

var errNotObject = errors.New("not an object")

func parseObject(text []byte) (object, error) {
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	return o, nil
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (o *object) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '{' {
		if err := dec.SkipValue(); err != nil {
			return err
		}
		return errNotObject
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		m := member{name: name.String()}
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		m.value = value.Clone()
		*o = append(*o, m)
	}
	_, err := dec.ReadToken()
	return err
}

// MarshalJSONTo implements json.MarshalerTo.
func (o object) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, m := range o {
		if err := enc.WriteToken(jsontext.String(m.name)); err != nil {
			return err
		}
		if err := enc.WriteValue(m.value); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

func (o object) index(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == name })
}

func (o object) has(name string) bool { return o.index(name) >= 0 }

// read decodes a member. It leaves v alone where there is none.
func (o object) read(name string, v any) error {
	i := o.index(name)
	if i < 0 {
		return nil
	}
	if err := json.Unmarshal(o[i].value, v); err != nil {
		return fmt.Errorf("its %q: %w", name, err)
	}
	return nil
}

// set replaces a member, or appends it.
func (o *object) set(name string, v any) error {
	value, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	if i := o.index(name); i >= 0 {
		(*o)[i].value = value
		return nil
	}
	*o = append(*o, member{name, value})
	return nil
}

func (o *object) remove(name string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.name == name })
}

// edit changes a member that is an object, and makes one where there is none.
func (o *object) edit(name string, change func(*object) error) error {
	var inner object
	if err := o.read(name, &inner); err != nil {
		return err
	}
	if err := change(&inner); err != nil {
		return err
	}
	return o.set(name, inner)
}
