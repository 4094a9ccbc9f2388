package keycloaktest

import (
	"crypto/rand"
	"maps"
	"time"
)

// How long things last where the realm does not say; these are Keycloak's defaults.
const (
	refreshLifespan = 30 * time.Minute // ssoSessionIdleTimeout, of which a refresh token lasts as long
	sessionLifespan = 10 * time.Hour   // ssoSessionMaxLifespan
	codeLifespan    = time.Minute
	loginLifespan   = 30 * time.Minute
	unlimited       = 100 * 365 * 24 * time.Hour
)

// How much is kept at most: the fake also runs as a server that strangers may knock at.
const (
	maxSessions   = 10_000
	maxCodes      = 1_000
	maxLogins     = 1_000
	maxAssertions = 1_000
	maxRemembered = 10_000
)

// session is the single sign-on session of one user.
type session struct {
	id      string
	user    User
	started time.Time
	ends    time.Time
	clients map[string]*clientSession // nil for a client that was thrown out
}

// clientSession is what a session knows about one client.
type clientSession struct {
	scope   string
	refresh string // jti of the one refresh token that is good: revokeRefreshToken on, refreshTokenMaxReuse 0
	used    string // jti of the one before
}

// state is what the realm remembers between requests. Server.mu guards it.
type state struct {
	sessions   shelf[*session]
	shared     map[string]string   // user ID → session of the tokens that Token mints
	ended      shelf[struct{}]     // session IDs
	revoked    shelf[struct{}]     // jti of access tokens
	remembered shelf[*object]      // jti of a lightweight token → all of its claims
	logins     shelf[loginRequest] // login pages in a browser
	codes      shelf[grantedCode]  // authorization codes
	assertions shelf[struct{}]     // jti of client assertions
	notBefore  time.Time
	loggedOut  map[string]int64 // user ID → when an administrator ended the user's sessions
}

func newState() state {
	return state{
		sessions:   newShelf[*session](maxSessions),
		shared:     map[string]string{},
		loggedOut:  map[string]int64{},
		ended:      newShelf[struct{}](maxSessions),
		revoked:    newShelf[struct{}](maxSessions),
		remembered: newShelf[*object](maxRemembered),
		logins:     newShelf[loginRequest](maxLogins),
		codes:      newShelf[grantedCode](maxCodes),
		assertions: newShelf[struct{}](maxAssertions),
	}
}

// shelf keeps a limited number of things for a limited time; the oldest makes room for the newest.
type shelf[V any] struct {
	limit int
	items map[string]shelved[V]
	order []string // oldest first; may name things that are gone
}

type shelved[V any] struct {
	value V
	until time.Time
}

func newShelf[V any](limit int) shelf[V] {
	return shelf[V]{limit: limit, items: map[string]shelved[V]{}}
}

func (s *shelf[V]) put(id string, value V, until time.Time) {
	s.items[id] = shelved[V]{value, until}
	s.order = append(s.order, id)
	for len(s.items) > s.limit || len(s.order) > 2*s.limit {
		delete(s.items, s.order[0])
		s.order = s.order[1:]
	}
}

func (s *shelf[V]) get(id string, now time.Time) (V, bool) {
	item, ok := s.items[id]
	if !ok || !now.Before(item.until) {
		var none V
		return none, false
	}
	return item.value, true
}

func (s *shelf[V]) take(id string, now time.Time) (V, bool) {
	value, ok := s.get(id, now)
	delete(s.items, id)
	return value, ok
}

// startSession logs a user in at a client and returns the session's ID. refresh is the jti of the refresh token.
func (s *Server) startSession(user User, clientID, scope, refresh string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	started := &session{
		id: newSessionID(), user: user, started: now, ends: now.Add(sessionLifespan),
		clients: map[string]*clientSession{clientID: {scope: scope, refresh: refresh}},
	}
	s.state.sessions.put(started.id, started, started.ends)
	return started.id
}

// sessionFor is the session of a token that is minted without a login. Access and ID tokens of one user share one, as
// if the user had logged in once; each refresh token has its own, because using one voids the others.
func (s *Server) sessionFor(t *Token) string {
	if t.kind == refreshToken {
		t.jti = newUUID()
		return s.startSession(t.user, t.client.ID, t.scope, t.jti)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sid, ok := s.state.shared[t.user.ID]; ok {
		return sid
	}
	now := s.now()
	shared := &session{
		id: newSessionID(), user: t.user, started: now, ends: now.Add(unlimited), clients: map[string]*clientSession{},
	}
	s.state.sessions.put(shared.id, shared, shared.ends)
	s.state.shared[t.user.ID] = shared.id
	return shared.id
}

// LogoutUser ends all sessions of a user, as an administrator does: their access tokens are inactive in
// introspection, their refresh tokens refused. Local validation cannot notice. Tokens that are minted for the user
// afterwards belong to a new session. It ends the test if there is no such user.
func (s *Server) LogoutUser(username string) {
	s.tb.Helper()
	user := s.User(username)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.loggedOut[user.ID] = s.now().Unix()
	if sid, ok := s.state.shared[user.ID]; ok {
		s.state.end(sid, s.now())
	}
	for sid, item := range s.state.sessions.items {
		if item.value.user.ID == user.ID {
			s.state.end(sid, s.now())
		}
	}
}

func (s *Server) endSession(sid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.end(sid, s.now())
}

func (s *state) end(sid string, now time.Time) {
	s.sessions.take(sid, now)
	s.ended.put(sid, struct{}{}, now.Add(unlimited))
	maps.DeleteFunc(s.shared, func(_, shared string) bool { return shared == sid })
}

// sessionEnded reports whether the session is over, or over for that client. Sessions the realm never had count as
// going on, so that a test may put any sid into a token.
func (s *Server) sessionEnded(sid, clientID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if _, ended := s.state.ended.get(sid, now); ended {
		return true
	}
	item, known := s.state.sessions.items[sid]
	if !known {
		return false
	}
	attached, named := item.value.clients[clientID]
	return !now.Before(item.until) || named && attached == nil
}

// RevokeBefore sets the realm's not-before policy, as "Revocation" in the admin console does: the realm and token
// responses name it, and tokens that were issued earlier are inactive in introspection. Default: the zero time.
func (s *Server) RevokeBefore(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.notBefore = t
}

// notBefore is the policy as a NumericDate, 0 for none.
func (s *Server) notBefore() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.notBefore.IsZero() {
		return 0
	}
	return s.state.notBefore.Unix()
}

// loggedOutAt is when LogoutUser last ended the user's sessions, 0 for never. Keycloak makes it the not-before policy
// of that user.
func (s *Server) loggedOutAt(user User) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.loggedOut[user.ID]
}

// remember keeps all claims of a lightweight token for introspection.
func (s *Server) remember(jti string, claims *object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.remembered.put(jti, claims, s.now().Add(unlimited))
}

func (s *Server) recall(jti string) (*object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.remembered.get(jti, s.now())
}

// newSessionID is 24 characters of base64, as sid is since 26.5.
func newSessionID() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return base64url(b[:])
}
