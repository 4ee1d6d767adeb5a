/* agent/wire.c: fields, and the table of frames. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "agent/wire.h"

static void test_field_next(void **state)
{
    static const struct {
        const char *bytes;
        uint32_t size;
        int rc;
        uint8_t tag;
        uint32_t length, left;
    } rows[] = {
        {"", 0, 0, 0, 0, 0},
        {"\1\0\0\0\0", 5, 1, 1, 0, 0},
        {"\2\3\0\0\0abc", 8, 1, 2, 3, 0},
        {"\2\3\0\0\0abcd", 9, 1, 2, 3, 1},
        {"\1", 1, -EPROTO, 0, 0, 0},
        {"\1\0\0\0", 4, -EPROTO, 0, 0, 0},
        {"\1\1\0\0\0", 5, -EPROTO, 0, 0, 0},
        {"\1\377\377\377\377abc", 8, -EPROTO, 0, 0, 0},
        {"\0\0\0\0\0", 5, -EPROTO, 0, 0, 0},
        {"\3\0\0\0\0", 5, -EPROTO, 0, 0, 0},
        {"\377\0\0\0\0", 5, -EPROTO, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const uint8_t *data = (const uint8_t *)rows[i].bytes;
        uint32_t left = rows[i].size;
        struct wire_field field = {0};
        if (wire_field_next(&data, &left, 3, &field) != rows[i].rc)
            fail_msg("row %zu", i);
        if (rows[i].rc != 1)
            continue;
        assert_int_equal(field.tag, rows[i].tag);
        assert_int_equal(field.length, rows[i].length);
        assert_int_equal(left, rows[i].left);
        assert_ptr_equal(field.data, rows[i].bytes + 5);
        assert_ptr_equal(data, rows[i].bytes + 5 + rows[i].length);
    }
}

static void test_field_append(void **state)
{
    struct buf out = {0};
    struct wire_field field;
    (void)state;
    assert_int_equal(wire_field_append(&out, 1, "one", 3), 0);
    assert_int_equal(wire_field_append(&out, 2, NULL, 0), 0);
    assert_int_equal(wire_field_append(&out, 1, "three", 5), 0);
    const uint8_t *data = buf_data(&out);
    uint32_t left = (uint32_t)buf_len(&out);
    static const struct {
        uint8_t tag;
        const char *text;
    } rows[] = {{1, "one"}, {2, ""}, {1, "three"}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(wire_field_next(&data, &left, 3, &field), 1);
        assert_int_equal(field.tag, rows[i].tag);
        assert_int_equal(field.length, strlen(rows[i].text));
        assert_memory_equal(field.data, rows[i].text, field.length);
    }
    assert_int_equal(wire_field_next(&data, &left, 3, &field), 0);
    buf_free(&out);
}

/* Every type has a row and a sender; what is no type has neither. */
static void test_types(void **state)
{
    (void)state;
    assert_int_equal(wire_rules.count, WIRE_TYPES);
    assert_null(wire_rules.rows[0].name);
    for (int row = 1; row < WIRE_TYPES; row++) {
        uint8_t type = (uint8_t)row;
        assert_non_null(wire_rules.rows[type].name);
        assert_true(wire_rules.rows[type].min <= wire_rules.rows[type].max);
        assert_true(wire_from_host(type) || wire_from_agent(type));
    }
    assert_false(wire_from_host(0) || wire_from_agent(0));
    assert_false(wire_from_host(WIRE_TYPES) || wire_from_agent(WIRE_TYPES));
    assert_false(wire_from_host(255) || wire_from_agent(255));
    assert_true(wire_from_host(WIRE_SPAWN) && !wire_from_agent(WIRE_SPAWN));
    assert_true(wire_from_agent(WIRE_EXIT) && !wire_from_host(WIRE_EXIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_field_next),
        cmocka_unit_test(test_field_append),
        cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
