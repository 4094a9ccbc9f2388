package ginkeycloak

import (
	"errors"
	"mime"
	"net/http"

	"github.com/c0mpiler/ginkeycloak/internal/bearer"
)

// TokenExtractor finds a token in a place of the request other than the Authorization header. It returns ""
// where there is none, and an error where there is something that cannot be a token, such as two of them.
type TokenExtractor func(*http.Request) (string, error)

var errSeveralTokens = errors.New("more than one token")

// TokenFromCookie finds the token in a cookie. A browser sends cookies also with requests that another site
// caused: protect routes that change something against cross-site request forgery.
func TokenFromCookie(name string) TokenExtractor {
	return func(r *http.Request) (string, error) {
		var values []string
		for _, cookie := range r.CookiesNamed(name) {
			values = append(values, cookie.Value)
		}
		return only(values)
	}
}

// TokenFromQuery finds the token in a parameter of the URL, usually access_token (RFC 6750 §2.3). URLs end up
// in logs and histories: use it for WebSockets and downloads only, with tokens that do not live long.
func TokenFromQuery(name string) TokenExtractor {
	return func(r *http.Request) (string, error) { return only(r.URL.Query()[name]) }
}

// TokenFromForm finds the token in the form parameter access_token (RFC 6750 §2.2): in the body of a request
// other than GET and HEAD, of type application/x-www-form-urlencoded. The body is read by that; handlers find
// it in Request.PostForm.
func TokenFromForm() TokenExtractor {
	return func(r *http.Request) (string, error) {
		// Of a content type that cannot be parsed there is no media type either.
		mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if mediaType != formType || r.Method == http.MethodGet || r.Method == http.MethodHead {
			return "", nil
		}
		if err := r.ParseForm(); err != nil {
			return "", errors.New("the form cannot be read")
		}
		return only(r.PostForm["access_token"])
	}
}

func only(values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", errSeveralTokens
}

// extract returns the one token of a request.
func (c *config) extract(r *http.Request) (string, error) {
	raw, err := bearer.Token(r.Header["Authorization"])
	if errors.Is(err, bearer.ErrInvalid) {
		return "", &Error{Code: CodeInvalidHeaderFormat, Err: err}
	}
	for _, place := range c.extractors {
		found, err := place(r)
		if err != nil {
			return "", &Error{Code: CodeInvalidHeaderFormat, Err: err}
		}
		if found != "" && raw != "" {
			return "", &Error{Code: CodeInvalidHeaderFormat, Err: errSeveralTokens}
		}
		raw += found
	}
	if raw == "" {
		return "", refusal(CodeMissingHeader, "no bearer token")
	}
	return raw, nil
}
