/*
 * Errors: every function that can fail takes `struct error *err` last and returns 0 or a negative
 * errno. The innermost function says what was attempted and why it failed; callers may put their
 * context in front; only main prints. A NULL err is allowed everywhere: the text is then dropped.
 */
#ifndef VMDECK_BASE_ERROR_H
#define VMDECK_BASE_ERROR_H

#define ERROR_MESSAGE_MAX 1024

struct error {
    int code; /* positive errno; 0 while nothing failed */
    char message[ERROR_MESSAGE_MAX];
};

/* Sets the message. Returns -code. */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like error_set, with ": strerror(code)" behind the message. Returns -code. */
int error_system(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message. Returns -err->code (-EIO without err). */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
