/* A DHCP client's message, from offset 28 with a card's address and the cookie put right. */
#include <stdlib.h>
#include <string.h>

#include "net/dhcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
    struct dhcp_reply reply;
    dhcp_answer(data, size, mac, &reply);
    if (size < 240)
        return 0;
    uint8_t *message = malloc(size); /* exact, so that a read beyond the end is seen */
    if (message == NULL)
        abort();
    memcpy(message, data, size);
    memcpy(message, "\1\1\6", 3);
    memcpy(message + 28, mac, sizeof mac);
    memcpy(message + 236, "\x63\x82\x53\x63", 4);
    if (dhcp_answer(message, size, mac, &reply) && reply.message[0] != 2)
        abort();
    free(message);
    return 0;
}
