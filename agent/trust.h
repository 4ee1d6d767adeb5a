/* The guest's trust store: the bundles of certificate authorities that its programs read. */
#ifndef VMDECK_AGENT_TRUST_H
#define VMDECK_AGENT_TRUST_H

#include <stdint.h>

/* At boot: makes ready what trust_install() writes to, so that a fork finds it in its memory. */
void trust_prepare(void);

/*
 * The authority's certificate (PEM) goes into every bundle there is, unless it is what a bundle
 * ends with already. 0, or -errno of the first that failed; a read-only root is none.
 */
int trust_install(const uint8_t *pem, uint32_t size);

#endif
