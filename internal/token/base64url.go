package token

import (
	"encoding/base64"
	"sync"
)

// encoding is base64url without padding (RFC 7515 §2). Strict refuses bits that belong to no byte.
var encoding = base64.RawURLEncoding.Strict()

// scratch is a buffer that the next token is decoded in too. Nothing may go on pointing into it.
type scratch []byte

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func borrow() *scratch {
	s := scratches.Get().(*scratch)
	*s = (*s)[:0]
	return s
}

func (s *scratch) giveBack() { scratches.Put(s) }

// decode adds what a segment encodes to what was decoded before, and reports whether the segment is the one encoding
// of it. The decoder skips CR and LF, after which the length is not right any more.
func (s *scratch) decode(segment string) bool {
	begin := len(*s)
	var err error
	*s, err = encoding.AppendDecode(*s, []byte(segment))
	return err == nil && encoding.EncodedLen(len(*s)-begin) == len(segment)
}
