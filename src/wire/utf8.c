#include "wire/utf8.h"

#include <string.h>

/** Bytes of the sequence at `text`, 0 if it is none. The table is Unicode's 3-7. */
static size_t sequence_bytes(const uint8_t *text, size_t left)
{
    uint8_t lead = text[0];
    size_t count = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (count == 1) {
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4 || left < count) {
        return 0;
    }
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < low || text[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < count; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return count;
}

bool za_utf8_valid(const uint8_t *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        if (size - at >= 8) { // mostly ASCII
            memcpy(&eight, text + at, 8);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += 8;
                continue;
            }
        }
        size_t count = sequence_bytes(text + at, size - at);
        if (count == 0) {
            return false;
        }
        at += count;
    }
    return true;
}
