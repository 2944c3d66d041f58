/* Step 12: a small reactor. One thread serves all clients with poll(2), and stops gracefully at SIGTERM.
 *
 *     cc -O2 -o step12 examples/steps/c/step12.c && ./step12 5656
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    QUESTION_BYTES_MAX = 4096, /* a longer question is a mistake, so that no client fills the memory */
    READ_BYTES = 16 * 1024,
    READS_PER_TURN = 2,           /* for one client; what is left in the kernel makes poll return at once */
    OUTBOX_BYTES_MAX = 64 * 1024, /* from here on nothing more is read */
    ANSWER_BYTES_MAX = 40,
    PAUSE_MS = 100,     /* until the next attempt to accept after EMFILE */
    PROGRESS_MS = 2000, /* progress is a whole question, or bytes that the kernel has taken */
    STOP_MS = 3000,     /* for all connections together, after SIGTERM */
};

/* The answers to one read, and an error line, come on top of a full outbox. */
#define OUTBOX_ROOM (OUTBOX_BYTES_MAX + (READ_BYTES + QUESTION_BYTES_MAX) * 2 + ANSWER_BYTES_MAX)

struct connection {
    int socket;
    char input[QUESTION_BYTES_MAX + READ_BYTES];
    size_t input_bytes;
    char *outbox;
    size_t outbox_bytes;
    bool is_refused, has_ended, is_shut;
    long long deadline;
};

static struct connection **connections;
static size_t count, room;
static int wakes; /* the end of the pipe that the handler of the signal writes to */

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void fail(const char *call)
{
    perror(call);
    exit(1);
}

static void *checked(void *memory)
{
    if (!memory)
        fail("malloc");
    return memory;
}

static void push(struct connection *c, const char *text, size_t length)
{
    memcpy(c->outbox + c->outbox_bytes, text, length);
    c->outbox_bytes += length;
}

static void refuse(struct connection *c)
{
    static const char line[] = "{\"Error\":\"not a question\"}\n";
    c->is_refused = true;
    push(c, line, sizeof line - 1);
}

/* Reads a text, and a number behind it. Returns the place after them, or NULL. */
static const char *read_number(const char *from, const char *text, long long *number)
{
    size_t length = strlen(text);
    char *end;
    if (!from || strncmp(from, text, length))
        return NULL;
    from += length;
    errno = 0; /* strtoll returns a number also if none fits */
    *number = strtoll(from, &end, 10);
    return end == from || errno ? NULL : end;
}

/* Answers a question, such as {"A":7,"B":4}. Returns whether it is one. */
static bool answer(struct connection *c, const char *from, size_t length)
{
    char question[QUESTION_BYTES_MAX + 1], line[ANSWER_BYTES_MAX];
    const char *end;
    long long a, b, sum;
    size_t kept = 0;
    if (length > QUESTION_BYTES_MAX)
        return false;
    for (size_t at = 0; at < length; at++)
        if (!isspace((unsigned char)from[at]))
            question[kept++] = from[at];
    question[kept] = 0;
    end = read_number(read_number(question, "{\"A\":", &a), ",\"B\":", &b);
    if (!end || *end != '}' || end + 1 != question + kept)
        return false;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    push(c, line, (size_t)snprintf(line, sizeof line, "{\"Sum\":%lld}\n", sum));
    c->deadline = now_ms() + PROGRESS_MS;
    return true;
}

/* Returns the place of the next byte that is not a blank. */
static size_t skip_blanks(const struct connection *c, size_t at)
{
    while (at < c->input_bytes && isspace((unsigned char)c->input[at]))
        at++;
    return at;
}

/* Answers the questions that are whole, and keeps the rest of the input. */
static void take_questions(struct connection *c)
{
    size_t start = skip_blanks(c, 0);
    char *end;
    while ((end = memchr(c->input + start, '}', c->input_bytes - start))) {
        size_t length = (size_t)(end - (c->input + start)) + 1;
        if (!answer(c, c->input + start, length)) {
            refuse(c);
            return;
        }
        start = skip_blanks(c, start + length);
    }
    c->input_bytes -= start;
    memmove(c->input, c->input + start, c->input_bytes);
    if (c->input_bytes > QUESTION_BYTES_MAX)
        refuse(c);
}

/* Returns false if the client has left. */
static bool flush(struct connection *c)
{
    while (c->outbox_bytes > 0) {
        /* Without the flag, a write to a connection that was reset would end the process by SIGPIPE. */
        ssize_t sent = send(c->socket, c->outbox, c->outbox_bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        c->outbox_bytes -= (size_t)sent;
        memmove(c->outbox, c->outbox + sent, c->outbox_bytes);
        c->deadline = now_ms() + PROGRESS_MS;
    }
    if (c->is_refused && !c->is_shut) {
        /* A close with input unread is a reset, so the rest is read, and forgotten, until the client closes. */
        c->is_shut = true;
        return shutdown(c->socket, SHUT_WR) == 0;
    }
    return true;
}

static bool may_read(const struct connection *c)
{
    return !c->has_ended && c->outbox_bytes < OUTBOX_BYTES_MAX;
}

/* Reads and sends without waiting, within its budget. Returns whether the connection stays open. */
static bool on_ready(struct connection *c)
{
    if (!flush(c))
        return false;
    for (int reads = 0; reads < READS_PER_TURN && may_read(c); reads++) {
        ssize_t received = recv(c->socket, c->input + c->input_bytes, READ_BYTES, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (received < 0)
            return false;
        if (received == 0) {
            c->has_ended = true;
        } else if (!c->is_refused) {
            c->input_bytes += (size_t)received;
            take_questions(c);
            if (c->is_refused)
                c->input_bytes = 0;
            if (!flush(c))
                return false;
        }
    }
    return !c->has_ended || c->outbox_bytes > 0;
}

static void close_connection(size_t index)
{
    struct connection *c = connections[index];
    close(c->socket);
    free(c->outbox);
    free(c);
    memmove(connections + index, connections + index + 1, (--count - index) * sizeof *connections);
}

/* Accepts the waiting clients. Returns whether the rest of them has to wait for a descriptor. */
static bool accept_all(int listener)
{
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (socket < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (socket < 0)
            return true; /* EMFILE, ENFILE, ENOBUFS, ENOMEM: what is missing may be there later */
        if (count == room) {
            room = room ? room * 2 : 64;
            connections = checked(realloc(connections, room * sizeof *connections));
        }
        struct connection *c = checked(calloc(1, sizeof *c));
        c->socket = socket;
        c->outbox = checked(malloc(OUTBOX_ROOM));
        c->deadline = now_ms() + PROGRESS_MS;
        connections[count++] = c;
    }
}

/* The milliseconds until the earliest deadline, or until `at` if that is not negative. -1 is for ever. */
static int wait_ms(long long at)
{
    for (size_t index = 0; index < count; index++)
        if (at < 0 || connections[index]->deadline < at)
            at = connections[index]->deadline;
    if (at < 0)
        return -1;
    long long left = at - now_ms();
    return left < 0 ? 0 : (int)left + 1;
}

/* Waits for an event, a deadline or the moment `at`, and serves the connections. Returns whether a signal has arrived.
 * Without a listener, no client is accepted. */
static bool turn(int listener, int woken, long long at)
{
    size_t waited = count;
    struct pollfd *waits = checked(malloc((waited + 2) * sizeof *waits));
    for (size_t index = 0; index < waited; index++) {
        struct connection *c = connections[index];
        /* Room only while there is something to send, because there nearly always is room. */
        short events = (short)((may_read(c) ? POLLIN : 0) | (c->outbox_bytes > 0 ? POLLOUT : 0));
        waits[index] = (struct pollfd){.fd = c->socket, .events = events};
    }
    waits[waited] = (struct pollfd){.fd = woken, .events = POLLIN};
    waits[waited + 1] = (struct pollfd){.fd = listener, .events = POLLIN};
    if (poll(waits, waited + 2, wait_ms(at)) < 0 && errno != EINTR)
        fail("poll");
    long long now = now_ms();
    /* From the last to the first, so that a close moves no connection that is still to be visited. */
    for (size_t index = waited; index-- > 0;) {
        bool stays = waits[index].revents == 0 || on_ready(connections[index]);
        if (!stays || connections[index]->deadline <= now)
            close_connection(index);
    }
    free(waits);
    char byte;
    return read(woken, &byte, 1) == 1;
}

static void on_signal(int number)
{
    (void)number;
    /* write(2) is safe in a handler, and little else is: signal-safety(7). If the pipe is full, enough is in it. */
    int error = errno;
    ssize_t ignored = write(wakes, "!", 1);
    (void)ignored;
    errno = error;
}

static int listen_at(int port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0)
        fail("socket");
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 128) < 0)
        fail("listen");
    return listener;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    int listener = listen_at(atoi(argv[1]));
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
        fail("pipe2");
    wakes = ends[1];
    struct sigaction action = {.sa_handler = on_signal};
    if (sigaction(SIGTERM, &action, NULL) < 0)
        fail("sigaction");

    bool is_full = false;
    /* While it is full, the listener stays ready: to wait for it would be a busy loop. poll(2) ignores -1. */
    while (!turn(is_full ? -1 : listener, ends[0], is_full ? now_ms() + PAUSE_MS : -1)) {
        /* In each turn, because a connection that closed may have freed a descriptor. */
        is_full = accept_all(listener);
    }

    /* From now on clients are refused by the kernel, and know it at once. What is owed is sent, then the server's FIN. */
    close(listener);
    long long end = now_ms() + STOP_MS;
    for (size_t index = count; index-- > 0;) {
        connections[index]->is_refused = true;
        if (!on_ready(connections[index]))
            close_connection(index);
    }
    while (count > 0 && now_ms() < end)
        if (turn(-1, ends[0], end))
            return 1; /* the second signal: at once */
    return 0;
}
