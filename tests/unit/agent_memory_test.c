/* The agent's allocator: blocks do not overlap, keep their content, are used again, and sizes that
 * cannot be are refused. */
#include "unit.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *agent_malloc(size_t size);
void *agent_calloc(size_t count, size_t size);
void *agent_realloc(void *memory, size_t size);
void agent_free(void *memory);

static void filled(const uint8_t *block, size_t size, uint8_t value)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal(block[i], value);
}

static void test_blocks_keep_their_content(void **state)
{
    static const size_t sizes[] = {0,    1,     16,     24,     25,      48,     4096,
                                   4097, 65536, 131056, 131057, 1 << 20, 5 << 20};
    enum { SIZES = sizeof sizes / sizeof sizes[0], ROUNDS = 200 };
    uint8_t *blocks[SIZES] = {0};
    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t i = (round * 7) % SIZES;
        if (blocks[i] != NULL) {
            filled(blocks[i], sizes[i], (uint8_t)i);
            agent_free(blocks[i]);
        }
        blocks[i] = agent_malloc(sizes[i]);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)i, sizes[i]);
    }
    for (size_t i = 0; i < SIZES; i++) {
        filled(blocks[i], blocks[i] != NULL ? sizes[i] : 0, (uint8_t)i);
        agent_free(blocks[i]);
    }
}

static void test_used_again(void **state)
{
    (void)state;
    void *first = agent_malloc(100);
    agent_free(first);
    assert_ptr_equal(agent_malloc(90), first);
    agent_free(first);
}

static void test_growing(void **state)
{
    (void)state;
    uint8_t *block = agent_realloc(NULL, 10);
    for (size_t size = 10; size <= 1 << 20; size *= 2) {
        memset(block, 0x5a, size);
        block = agent_realloc(block, size * 2);
        assert_non_null(block);
        filled(block, size, 0x5a);
    }
    agent_free(block);
    agent_free(NULL);
}

static void test_zeroed(void **state)
{
    (void)state;
    uint8_t *block = agent_malloc(64);
    memset(block, 1, 64);
    agent_free(block);
    block = agent_calloc(8, 8);
    filled(block, 64, 0);
    agent_free(block);
}

static void test_too_much(void **state)
{
    (void)state;
    assert_null(agent_malloc(SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
    assert_null(agent_malloc(SIZE_MAX / 2));
    assert_null(agent_calloc(SIZE_MAX / 2, 4));
    uint8_t *block = agent_malloc(8);
    block[0] = 7;
    assert_null(agent_realloc(block, SIZE_MAX / 2));
    assert_int_equal(block[0], 7);
    agent_free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_keep_their_content),
        cmocka_unit_test(test_used_again),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
