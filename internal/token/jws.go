// Package token reads a signed JSON Web Token: the compact form of RFC 7515 into a strict header, a
// signature that can be checked, and the claims of RFC 7519 as Keycloak writes them. It is pure: bytes
// and keys go in, values come out. Which issuer, audience or time is right is not judged here.
package token

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxSize is the longest token, in bytes, that is looked at. Every byte of an unauthenticated token costs;
// a token of Keycloak has one or two thousand.
const MaxSize = 16 << 10

// maxKeyID is the longest key ID, in bytes, that is taken for one.
const maxKeyID = 256

// What can be wrong with a token. Errors of this package wrap one of them; their text never holds a part
// of the token.
var (
	ErrMalformed = errors.New("malformed token")
	ErrAlgorithm = errors.New("algorithm not allowed")
	ErrSignature = errors.New("wrong signature")
	ErrClaims    = errors.New("wrong claims")
)

// JWS is a JSON Web Signature in compact form (RFC 7515 §3.1), decoded but not yet verified.
type JWS struct {
	Header  *Header // shared with other tokens, not to be changed
	Payload string

	signed    string // header and payload as they were signed
	header    string // the header's segment
	signature string // decoded
}

// Header is what a JOSE header may say here (RFC 7515 §4.1). Members that would name a key of the sender's
// choice (jwk, jku, x5u, x5c) are ignored, as is everything unknown that is not critical.
type Header struct {
	Algorithm   string         `json:"alg"`
	KeyID       string         `json:"kid"`
	Type        string         `json:"typ"`
	ContentType string         `json:"cty"`
	Critical    jsontext.Value `json:"crit"`
	Encoded     jsontext.Value `json:"b64"`
}

// Parse splits and decodes a token in the order in which bytes get dearer: size, characters, header. The
// signature is not verified, and the payload is not looked into.
func Parse(raw string) (JWS, error) { return (*Headers)(nil).Parse(raw) }

// Parse is like the function Parse, but does not decode a header again that it knows.
func (h *Headers) Parse(raw string) (JWS, error) {
	if len(raw) > MaxSize {
		return JWS{}, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, MaxSize)
	}
	header, payload, signature, ok := segments(raw)
	if !ok {
		return JWS{}, fmt.Errorf("%w: not three segments of base64url characters", ErrMalformed)
	}
	known, ok := h.lookUp(header)
	if !ok {
		var err error
		if known, err = decodeHeader(header); err != nil {
			return JWS{}, err
		}
	}
	scratch := borrow()
	defer scratch.giveBack()
	if !scratch.decode(payload) {
		return JWS{}, fmt.Errorf("%w: payload is not base64url", ErrMalformed)
	}
	end := len(*scratch)
	if !scratch.decode(signature) {
		return JWS{}, fmt.Errorf("%w: signature is not base64url", ErrMalformed)
	}
	decoded := string(*scratch)
	return JWS{
		Header:    known,
		Payload:   decoded[:end],
		signed:    raw[:len(header)+1+len(payload)],
		header:    header,
		signature: decoded[end:],
	}, nil
}

// segments splits raw into its three segments. A third dot is no character of base64url, and left to the decoder.
func segments(raw string) (header, payload, signature string, ok bool) {
	header, rest, _ := strings.Cut(raw, ".")
	payload, signature, _ = strings.Cut(rest, ".")
	return header, payload, signature, signature != ""
}

func decodeHeader(segment string) (*Header, error) {
	h := new(Header)
	scratch := borrow()
	defer scratch.giveBack()
	if !scratch.decode(segment) {
		return nil, fmt.Errorf("%w: header is not base64url", ErrMalformed)
	}
	if err := decodeObject(*scratch, h); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	switch {
	case h.Critical != nil:
		// RFC 7515 §4.1.11: an extension that is critical and not understood makes the token invalid.
		// No extension is understood here, and an empty list is not allowed either.
		return nil, fmt.Errorf("%w: header has critical extensions", ErrMalformed)
	case h.Encoded != nil:
		return nil, fmt.Errorf("%w: header has b64, RFC 7797 is not supported", ErrMalformed)
	case strings.EqualFold(h.ContentType, "JWT"):
		return nil, fmt.Errorf("%w: a token within a token", ErrMalformed)
	case h.Algorithm == "":
		return nil, fmt.Errorf("%w: header has no alg", ErrMalformed)
	case !PlausibleKeyID(h.KeyID):
		return nil, fmt.Errorf("%w: header has no kid, or one that cannot be a key's", ErrMalformed)
	}
	return h, nil
}

// PlausibleKeyID reports whether kid could be the ID of a key: 1 to 256 visible ASCII characters without
// quotes and backslash. What is not plausible is never looked up, and never causes a fetch.
func PlausibleKeyID(kid string) bool {
	for i := range len(kid) {
		if c := kid[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\'' || c == '\\' {
			return false
		}
	}
	return kid != "" && len(kid) <= maxKeyID && !strings.Contains(kid, "..")
}

// maxDepth is how deep the JSON of a token may be nested. Keycloak's own goes to four.
const maxDepth = 32

var (
	errNotObject = errors.New("not a JSON object")
	errNotStrict = errors.New("not one JSON object of unique names in valid UTF-8")
)

// plausibleObject refuses what is no JSON object by its first character, or nested too deep.
func plausibleObject(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return errNotObject // the decoder would take null for an empty object
	}
	if tooDeep(b) {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	return nil
}

// decodeObject reads exactly one JSON object into v, with the strictness of encoding/json/v2: names compared
// exactly, no duplicate names, valid UTF-8 only, nothing behind the object. The errors it returns hold no
// text of the input.
func decodeObject(b []byte, v any) error {
	if err := plausibleObject(b); err != nil {
		return err
	}
	err := json.Unmarshal(b, v)
	if err == nil {
		return nil
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return &memberError{name: semantic.JSONPointer.LastToken()}
	}
	return errNotStrict
}

// memberError says that a member has a value of the wrong type. Only members that are known are judged, so its
// name is no stranger's word.
type memberError struct{ name string }

func (e *memberError) Error() string { return e.name + " has the wrong type" }

// tooDeep reports whether objects and arrays are nested deeper than maxDepth. It counts brackets outside of
// strings; that they match is the decoder's business.
func tooDeep(b []byte) bool {
	if bytes.Count(b, []byte("{"))+bytes.Count(b, []byte("[")) <= maxDepth {
		return false // as nearly always
	}
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++ // whatever is escaped does not end the string
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
