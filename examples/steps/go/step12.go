// Step 12: a small reactor. One goroutine serves all clients with epoll(7), and stops gracefully at SIGTERM.
//
//	go run examples/steps/go/step12.go 5656
//
// A server in Go would rather have a goroutine for each client: the runtime of Go has a reactor of its own below them.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	questionBytesMax = 4096 // a longer question is a mistake, so that no client fills the memory
	readBytes        = 16 * 1024
	readsPerTurn     = 2         // for one client; what is left in the kernel makes the next wait return at once
	outboxBytesMax   = 64 * 1024 // from here on nothing more is read
	pause            = 100 * time.Millisecond
	progress         = 2 * time.Second // a whole question, or bytes that the kernel has taken
	stopTime         = 3 * time.Second // for all connections together, after SIGTERM
)

type connection struct {
	fd                          int
	input, outbox               []byte
	isRefused, hasEnded, isShut bool
	interest                    uint32
	deadline                    time.Time
}

// answer returns the answer to a question.
func answer(question []byte) ([]byte, error) {
	var numbers struct{ A, B *int64 }
	if err := json.Unmarshal(question, &numbers); err != nil {
		return nil, err
	}
	if numbers.A == nil || numbers.B == nil {
		return nil, fmt.Errorf("not two numbers")
	}
	sum := *numbers.A + *numbers.B
	if (sum > *numbers.A) != (*numbers.B > 0) {
		return nil, fmt.Errorf("the sum does not fit")
	}
	return append(strconv.AppendInt([]byte(`{"Sum":`), sum, 10), "}\n"...), nil
}

func (c *connection) extend() { c.deadline = time.Now().Add(progress) }

func (c *connection) refuse() {
	c.isRefused = true
	c.outbox = append(c.outbox, "{\"Error\":\"not a question\"}\n"...)
}

// takeQuestions answers the questions that are whole, and keeps the rest of the input.
func (c *connection) takeQuestions() {
	rest := c.input
	for {
		end := bytes.IndexByte(rest, '}')
		if end < 0 {
			break
		}
		text, err := answer(rest[:end+1])
		if err != nil {
			c.refuse()
			return
		}
		c.outbox = append(c.outbox, text...)
		// Not for each byte: a slow client would keep its place for ever.
		c.extend()
		rest = rest[end+1:]
	}
	c.input = append(c.input[:0], bytes.TrimLeft(rest, " \t\r\n")...)
	if len(c.input) > questionBytesMax {
		c.refuse()
	}
}

// flush returns false if the client has left.
func (c *connection) flush() bool {
	for len(c.outbox) > 0 {
		sent, err := syscall.SendmsgN(c.fd, c.outbox, nil, nil, syscall.MSG_NOSIGNAL)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			return false
		default:
			c.outbox = append(c.outbox[:0], c.outbox[sent:]...)
			c.extend()
		}
	}
	if c.isRefused && !c.isShut {
		// A close with input unread is a reset, so the rest is read, and forgotten, until the client closes.
		c.isShut = true
		return syscall.Shutdown(c.fd, syscall.SHUT_WR) == nil
	}
	return true
}

func (c *connection) mayRead() bool { return !c.hasEnded && len(c.outbox) < outboxBytesMax }

// onReady reads and sends without waiting, within its budget. It returns whether the connection stays open.
func (c *connection) onReady(buffer []byte) bool {
	if !c.flush() {
		return false
	}
	for reads := 0; reads < readsPerTurn && c.mayRead(); reads++ {
		received, err := syscall.Read(c.fd, buffer)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			return false
		case received == 0:
			c.hasEnded = true
		case !c.isRefused:
			c.input = append(c.input, buffer[:received]...)
			c.takeQuestions()
			if !c.flush() {
				return false
			}
		}
	}
	return !c.hasEnded || len(c.outbox) > 0
}

type server struct {
	epoll, listener int
	connections     map[int]*connection
	isFull          bool
	buffer          []byte
}

func (s *server) control(operation, fd int, events uint32) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	return syscall.EpollCtl(s.epoll, operation, fd, &event)
}

func (s *server) close(c *connection) {
	// The kernel removes it from epoll: no other descriptor is open for it.
	syscall.Close(c.fd)
	delete(s.connections, c.fd)
}

// visit serves a connection, and then waits for what it needs: room only while there is something to send.
func (s *server) visit(c *connection) {
	if !c.onReady(s.buffer) {
		s.close(c)
		return
	}
	var interest uint32
	if c.mayRead() {
		interest |= syscall.EPOLLIN
	}
	if len(c.outbox) > 0 {
		interest |= syscall.EPOLLOUT
	}
	if interest != c.interest {
		c.interest = interest
		if s.control(syscall.EPOLL_CTL_MOD, c.fd, interest) != nil {
			s.close(c)
		}
	}
}

// acceptAll accepts the waiting clients. It returns whether the rest of them has to wait for a descriptor.
func (s *server) acceptAll() bool {
	for {
		fd, _, err := syscall.Accept4(s.listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		switch {
		case err == syscall.EAGAIN:
			return false
		case err == syscall.EINTR || err == syscall.ECONNABORTED:
			continue
		case err != nil:
			return true // EMFILE, ENFILE, ENOBUFS, ENOMEM: what is missing may be there later
		}
		c := &connection{fd: fd, interest: syscall.EPOLLIN}
		c.extend()
		if s.control(syscall.EPOLL_CTL_ADD, fd, c.interest) != nil {
			syscall.Close(fd)
			continue
		}
		s.connections[fd] = c
	}
}

// turn waits for an event, a deadline, or `other` if that is not zero, and serves the connections.
func (s *server) turn(other time.Duration) error {
	wait := -1
	consider := func(left time.Duration) {
		left = (left + time.Millisecond).Truncate(time.Millisecond)
		if left < 0 {
			left = 0
		}
		if ms := int(left.Milliseconds()); wait < 0 || ms < wait {
			wait = ms
		}
	}
	if other > 0 {
		consider(other)
	}
	for _, c := range s.connections {
		consider(time.Until(c.deadline))
	}
	events := make([]syscall.EpollEvent, 256)
	count, err := syscall.EpollWait(s.epoll, events, wait)
	if err != nil && err != syscall.EINTR {
		return err
	}
	for index := 0; index < count; index++ {
		if c := s.connections[int(events[index].Fd)]; c != nil {
			s.visit(c)
		}
	}
	now := time.Now()
	for _, c := range s.connections {
		if !c.deadline.After(now) {
			s.close(c)
		}
	}
	return nil
}

func listen(port int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return -1, err
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return -1, err
	}
	return fd, syscall.Listen(fd, 128)
}

// wakeAtSignals returns a descriptor to read from: a byte for each SIGTERM.
func wakeAtSignals() (int, error) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		return -1, err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		for range signals {
			// If the pipe is full, enough is in it.
			_, _ = syscall.Write(ends[1], []byte("!"))
		}
	}()
	return ends[0], nil
}

func serve(port int) error {
	listener, err := listen(port)
	if err != nil {
		return err
	}
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	woken, err := wakeAtSignals()
	if err != nil {
		return err
	}
	s := &server{epoll: epoll, listener: listener, connections: map[int]*connection{}, buffer: make([]byte, readBytes)}
	for _, fd := range []int{listener, woken} {
		if err := s.control(syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN); err != nil {
			return err
		}
	}
	var signalled [1]byte
	isSignalled := func() bool {
		count, _ := syscall.Read(woken, signalled[:])
		return count == 1
	}

	for !isSignalled() {
		var other time.Duration
		if s.isFull {
			other = pause
		}
		if err := s.turn(other); err != nil {
			return err
		}
		// In each turn, because a connection that closed may have freed a descriptor. While it is full, the listener
		// stays ready: to wait for it would be a busy loop.
		isFull := s.acceptAll()
		if isFull != s.isFull {
			s.isFull = isFull
			var interest uint32
			if !isFull {
				interest = syscall.EPOLLIN
			}
			if err := s.control(syscall.EPOLL_CTL_MOD, listener, interest); err != nil {
				return err
			}
		}
	}

	// From now on clients are refused by the kernel, and know it at once. What is owed is sent, then the server's FIN.
	syscall.Close(listener)
	end := time.Now().Add(stopTime)
	for _, c := range s.connections {
		c.isRefused = true
		s.visit(c)
	}
	for len(s.connections) > 0 && time.Now().Before(end) {
		if err := s.turn(time.Until(end)); err != nil {
			return err
		}
		if isSignalled() {
			os.Exit(1) // the second signal: at once
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintf(os.Stderr, "usage: %s PORT\n", os.Args[0])
		os.Exit(2)
	}
	port, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = serve(port)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
