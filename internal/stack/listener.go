package stack

import (
	"net"
	"sync"
)

// trackingListener accepts loopback connections and can close all of them: an HTTP server in graceful
// shutdown waits for watches, which end only with their connection.
type trackingListener struct {
	net.Listener

	mu   sync.Mutex
	open map[*trackedConn]struct{} // guarded by mu
}

// listenOnLoopback takes a free port at once, so nobody can take it in between.
func listenOnLoopback() (*trackingListener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &trackingListener{Listener: l, open: map[*trackedConn]struct{}{}}, nil
}

func (l *trackingListener) address() *net.TCPAddr { return l.Addr().(*net.TCPAddr) }

// Accept is net.Listener's.
func (l *trackingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[tracked] = struct{}{}
	return tracked, nil
}

// closeConnections closes every connection accepted so far.
func (l *trackingListener) closeConnections() {
	l.mu.Lock()
	conns := l.open
	l.open = map[*trackedConn]struct{}{}
	l.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
}

// trackedConn forgets itself when it is closed.
type trackedConn struct {
	net.Conn
	listener *trackingListener
}

// Close is net.Conn's.
func (c *trackedConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
