/* Nothing here keeps state. Guests fragment and use options so rarely that refusing both is simpler
 * than to trust their lengths. */
#include "net/packet.h"

#include <string.h>

#define IPV4_TTL 64

uint32_t net_sum(uint32_t sum, const uint8_t *data, size_t size)
{
    for (; size >= 2; data += 2, size -= 2)
        sum += net_get16(data);
    if (size > 0)
        sum += (uint32_t)data[0] << 8;
    return sum;
}

uint16_t net_fold(uint32_t sum)
{
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint16_t net_checksum(const uint8_t *data, size_t size)
{
    return (uint16_t)~net_fold(net_sum(0, data, size));
}

uint16_t net_transport_checksum(enum ip_protocol protocol, uint32_t source, uint32_t destination,
                                const uint8_t *segment, size_t size)
{
    uint32_t sum = (source >> 16) + (source & 0xffff) + (destination >> 16) +
                   (destination & 0xffff) + (uint32_t)protocol + (uint32_t)size;
    return (uint16_t)~net_fold(net_sum(sum, segment, size));
}

void net_checksum_change(uint8_t *checksum, uint16_t change)
{
    uint16_t sum = (uint16_t)~net_get16(checksum);
    net_put16(checksum, (uint16_t)~net_fold((uint32_t)sum + change));
}

bool ipv4_parse(uint8_t *data, size_t size, struct ipv4 *out)
{
    if (size < IPV4_HEADER || data[0] != 0x45)
        return false;
    size_t total = net_get16(data + 2);
    bool fragment = (net_get16(data + 6) & 0x3fff) != 0; /* more fragments, or an offset */
    if (total < IPV4_HEADER || total > size || total > IPV4_MTU || fragment)
        return false;
    if (net_checksum(data, IPV4_HEADER) != 0)
        return false;
    *out = (struct ipv4){.header = data,
                         .payload = data + IPV4_HEADER,
                         .payload_size = total - IPV4_HEADER,
                         .source = net_get32(data + IPV4_SOURCE),
                         .destination = net_get32(data + IPV4_DESTINATION),
                         .protocol = data[9]};
    return true;
}

void ipv4_write(uint8_t *header, enum ip_protocol protocol, uint32_t source, uint32_t destination,
                size_t payload_size)
{
    memset(header, 0, IPV4_HEADER);
    header[0] = 0x45;
    net_put16(header + 2, (uint16_t)(IPV4_HEADER + payload_size));
    header[6] = 0x40; /* don't fragment; the identification may then be 0 (RFC 6864) */
    header[8] = IPV4_TTL;
    header[9] = (uint8_t)protocol;
    net_put32(header + IPV4_SOURCE, source);
    net_put32(header + IPV4_DESTINATION, destination);
    net_put16(header + IPV4_CHECKSUM, net_checksum(header, IPV4_HEADER));
}

bool ipv4_unicast(uint32_t address)
{
    uint32_t first = address >> 24;
    return first != 0 && first != 127 && first < 224;
}
