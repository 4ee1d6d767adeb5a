/* What proxy.c (connections), proxy_request.c (judging) and proxy_exchange.c (passing on) share. */
#ifndef VMDECK_NET_PROXY_INTERNAL_H
#define VMDECK_NET_PROXY_INTERNAL_H

#include "net/http.h"
#include "net/proxy.h"

#define PROXY_HEAD_IDLE 300 /* seconds between requests */

enum proxy_state {
    PROXY_SNIFF,
    PROXY_HEAD,     /* between requests, or in the middle of a head */
    PROXY_ASK,      /* the request waits for an answer */
    PROXY_REFUSE,   /* it is refused, but the guest not told yet */
    PROXY_EXCHANGE, /* a request is passed on, its response comes back */
    PROXY_TUNNEL,
    PROXY_LINGER, /* our direction ends; the guest's is read and thrown away */
    PROXY_STATES,
};

/* One request and its response; or a tunnel. */
struct exchange {
    struct http_head *head; /* NULL: mapped TCP */
    struct policy_request request;
    char host[HOST_SIZE];
    struct policy_verdict verdict;
    struct question question;
    struct hold hold; /* in PROXY_REFUSE */
    struct secret_target target;
    struct secret_uses uses;
    uint64_t mask;                    /* secrets that the response is searched for */
    uint64_t redacted;                /* … and that were found */
    struct secret_stream *body_check; /* values that must not go there; NULL: none */
    struct secret_stream *redactor;   /* of the response's body, or NULL */
    struct upstream *upstream;
    struct http_reader responses;
    enum http_framing framing; /* of the response to the guest */
    bool keep_alive;           /* … which goes on behind it */
    bool upstream_keeps;       /* the upstream goes on behind its response */
    bool head_sent, request_done, answered, response_done;
    bool once;     /* allowed for this time only */
    bool internal; /* … to the host's addresses, whatever they are */
    int status;
    uint64_t started; /* loop time */
    uint64_t sent, received;
    size_t held; /* of core->held */
};

struct proxy {
    struct core *core;
    TAILQ_ENTRY(proxy) entry;
    const struct proxy_guest *ops;
    void *guest;
    struct proxy_ends ends;
    uint32_t id;
    enum proxy_state state;
    bool accepted, tls, over;
    bool unknown;         /* it is being found out whose this is */
    char host[HOST_SIZE]; /* with TLS: whom the guest believes to speak to */
    struct stream stream; /* the guest's side */
    struct http_reader requests;
    struct exchange *exchange;
    size_t held;      /* of core->held: the incomplete head */
    size_t discarded; /* while lingering */
};

/* proxy.c */
bool proxy_run(struct proxy *proxy);    /* false: it is gone */
void proxy_abort(struct proxy *proxy);  /* takes effect at the end of proxy_run() */
void proxy_linger(struct proxy *proxy); /* behind what is to be sent */
void proxy_upstream_changed(void *proxy);

/* proxy_request.c: a head has come; *head is taken over. */
void request_take(struct proxy *proxy, struct http_head *head);
bool request_judge_tunnel(struct proxy *proxy); /* false: it is no longer allowed */

/* proxy_exchange.c */
void exchange_start(struct proxy *proxy);
bool exchange_step(struct proxy *proxy);
bool tunnel_step(struct proxy *proxy);
/* Answers for the upstream. `deny`: by policy. The exchange ends. */
void exchange_answer(struct proxy *proxy, int status, bool deny, const char *text);
/* The same for what is no request that was understood. */
void proxy_answer(struct proxy *proxy, int status, const char *text);
void exchange_free(struct proxy *proxy);

/* proxy_report.c: events. */
void report_exchange(struct proxy *proxy);
void report_refused(struct proxy *proxy, enum policy_protocol protocol, const char *host,
                    const char *reason);
void report_secrets(struct proxy *proxy, uint64_t mask, const char *where, const char *action);

#endif
