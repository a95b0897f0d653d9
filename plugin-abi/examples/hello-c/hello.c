/* hello: the command `hello-c [NAME]`, a hook at system.startup and a health check, in plain C.
 *
 * It reads JSON as strictly as it must to print it back: a string that was read whole stays as it is written, escapes and
 * all, since it goes out as JSON again. */
#include <stdatomic.h>
#include <string.h>

#include "nexcage_plugin.h"

enum { GREETING_MAX = 256, NAME_BYTES_MAX = 4096, DEPTH_MAX = 64 };

static const nxc_host *host;

/* Between quotes as JSON has it. A reload may write it while commands read it, so it has a lock. */
static char greeting[GREETING_MAX] = "Hello";
static size_t greeting_len = 5;
static atomic_flag greeting_lock = ATOMIC_FLAG_INIT;

static nxc_str lend(const char *text) {
    nxc_str lent = {text, strlen(text)};
    return lent;
}

static int32_t reply(uint64_t call, nxc_str bytes) { return host->reply_write(host->ctx, call, bytes); }

static int32_t refuse(uint64_t call, int32_t status, const char *why) {
    reply(call, lend(why));
    return status;
}

/* A JSON text from where it has been read to. Every function that takes one returns 0 when something else stands there. */
typedef struct {
    const char *at;
    const char *end;
} json;

static json start(nxc_str input) {
    json text = {input.ptr, input.ptr};
    if (input.len > 0)
        text.end = input.ptr + input.len;
    return text;
}

static int take_raw(json *text, char wanted) {
    if (text->at == text->end || *text->at != wanted)
        return 0;
    text->at++;
    return 1;
}

static void skip_space(json *text) {
    while (take_raw(text, ' ') || take_raw(text, '\t') || take_raw(text, '\r') || take_raw(text, '\n'))
        ;
}

static int take(json *text, char wanted) {
    skip_space(text);
    return take_raw(text, wanted);
}

/* Nothing but space is left. */
static int at_end(json *text) {
    skip_space(text);
    return text->at == text->end;
}

/* Four digits of an escape. */
static int take_hex(json *text, unsigned *unit) {
    *unit = 0;
    for (int i = 0; i < 4; i++, text->at++) {
        static const char digits[] = "0123456789abcdef";
        if (text->at == text->end)
            return 0;
        char lower = *text->at >= 'A' && *text->at <= 'F' ? (char)(*text->at - 'A' + 'a') : *text->at;
        const char *digit = memchr(digits, lower, 16);
        if (!digit)
            return 0;
        *unit = *unit * 16 + (unsigned)(digit - digits);
    }
    return 1;
}

/* One character after a backslash. Half of a surrogate pair is none. */
static int take_escape(json *text, unsigned *character) {
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    unsigned low;
    if (take_raw(text, 'u')) {
        if (!take_hex(text, character) || (*character >= 0xdc00 && *character <= 0xdfff))
            return 0;
        if (*character < 0xd800 || *character > 0xdbff)
            return 1;
        if (!take_raw(text, '\\') || !take_raw(text, 'u') || !take_hex(text, &low) || low < 0xdc00 || low > 0xdfff)
            return 0;
        *character = 0x10000 + ((*character - 0xd800) << 10) + (low - 0xdc00);
        return 1;
    }
    const char *letter = text->at == text->end ? 0 : memchr(letters, *text->at, sizeof letters - 1);
    if (!letter)
        return 0;
    *character = (unsigned char)meant[letter - letters];
    text->at++;
    return 1;
}

/* One character of a string: an escape, or a byte. The host sends UTF-8. */
static int take_character(json *text, unsigned *character) {
    if (text->at == text->end || (unsigned char)*text->at < 0x20)
        return 0;
    if (take_raw(text, '\\'))
        return take_escape(text, character);
    *character = (unsigned char)*text->at++;
    return 1;
}

/* A string, as it is written between its quotes. */
static int take_string(json *text, nxc_str *string) {
    unsigned ignored;
    if (!take(text, '"'))
        return 0;
    string->ptr = text->at;
    while (text->at < text->end && *text->at != '"')
        if (!take_character(text, &ignored))
            return 0;
    string->len = (size_t)(text->at - string->ptr);
    return take_raw(text, '"');
}

/* Tells whether a string that was read means a text of ASCII. */
static int is(nxc_str string, const char *wanted) {
    json text = start(string);
    unsigned character;
    for (; *wanted; wanted++)
        if (!take_character(&text, &character) || character != (unsigned char)*wanted)
            return 0;
    return text.at == text.end;
}

static size_t skip_digits(json *text) {
    const char *first = text->at;
    while (text->at < text->end && *text->at >= '0' && *text->at <= '9')
        text->at++;
    return (size_t)(text->at - first);
}

static int skip_number(json *text) {
    take_raw(text, '-');
    if (!take_raw(text, '0') && skip_digits(text) == 0)
        return 0;
    if (take_raw(text, '.') && skip_digits(text) == 0)
        return 0;
    if (!take_raw(text, 'e') && !take_raw(text, 'E'))
        return 1;
    if (!take_raw(text, '+'))
        take_raw(text, '-');
    return skip_digits(text) > 0;
}

static int take_word(json *text, const char *word) {
    size_t len = strlen(word);
    skip_space(text);
    if ((size_t)(text->end - text->at) < len || memcmp(text->at, word, len) != 0)
        return 0;
    text->at += len;
    return 1;
}

/* Any value. Deeper ones than anybody sends are refused, as the stack is not endless. */
static int skip_value(json *text, int depth) {
    nxc_str ignored;
    char last;
    skip_space(text);
    if (text->at == text->end || depth == DEPTH_MAX)
        return 0;
    if (*text->at == '"')
        return take_string(text, &ignored);
    if (*text->at != '{' && *text->at != '[')
        return take_word(text, "null") || take_word(text, "true") || take_word(text, "false") || skip_number(text);
    last = *text->at++ == '{' ? '}' : ']';
    if (take(text, last))
        return 1;
    do {
        if (last == '}' && !(take_string(text, &ignored) && take(text, ':')))
            return 0;
        if (!skip_value(text, depth + 1))
            return 0;
    } while (take(text, ','));
    return take(text, last);
}

/* What is wanted of an object: where the value of a member begins, if there is one. Of two of one name, the last counts. */
typedef struct {
    const char *name;
    json value;
    int found;
} member;

/* Reads an object to its end, which is the end of the text; returns how many other members it has, or -1 for no object. */
static int read_object(nxc_str input, member *wanted, size_t count) {
    json text = start(input);
    nxc_str key;
    int others = 0, known;
    if (!take(&text, '{'))
        return -1;
    if (take(&text, '}'))
        return at_end(&text) ? 0 : -1;
    do {
        if (!take_string(&text, &key) || !take(&text, ':'))
            return -1;
        known = 0;
        for (size_t i = 0; i < count; i++)
            if (is(key, wanted[i].name)) {
                wanted[i].value = text;
                wanted[i].found = known = 1;
            }
        others += !known;
        if (!skip_value(&text, 1))
            return -1;
    } while (take(&text, ','));
    return take(&text, '}') && at_end(&text) ? others : -1;
}

/* Nothing and null are no configuration, so all is as it is without one. */
static int is_nothing(nxc_str input) {
    json text = start(input);
    return at_end(&text) || (take_word(&text, "null") && at_end(&text));
}

static int32_t configure(void *ctx, uint64_t call, nxc_str input) {
    member wanted = {"greeting", {0, 0}, 0};
    nxc_str text = lend("Hello");
    (void)ctx;
    if (!is_nothing(input)) {
        int others = read_object(input, &wanted, 1);
        if (others < 0)
            return refuse(call, NXC_INVALID_ARGUMENT, "configuration: want an object");
        if (others > 0)
            return refuse(call, NXC_INVALID_ARGUMENT, "configuration: greeting is its only member");
    }
    if (wanted.found && !take_string(&wanted.value, &text))
        return refuse(call, NXC_INVALID_ARGUMENT, "greeting: want a string");
    if (text.len > GREETING_MAX)
        return refuse(call, NXC_INVALID_ARGUMENT, "greeting: at most 256 bytes");
    while (atomic_flag_test_and_set(&greeting_lock))
        ;
    memcpy(greeting, text.ptr, text.len);
    greeting_len = text.len;
    atomic_flag_clear(&greeting_lock);
    return NXC_OK;
}

static int32_t nothing(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)call, (void)input;
    return NXC_OK;
}

static int32_t health(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, lend("{\"healthy\":true,\"message\":\"hello is well\"}"));
}

static int32_t list_commands(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, lend("[{\"name\":\"hello-c\",\"about\":\"Greet somebody\"}]"));
}

/* Reads `{"command", "args": [...]}`: leaves `name` as it is where nobody is named. Returns a status, and replies why. */
static int32_t read_arguments(uint64_t call, nxc_str input, nxc_str *name) {
    member wanted[] = {{"command", {0, 0}, 0}, {"args", {0, 0}, 0}};
    json *args = &wanted[1].value;
    nxc_str word = {0, 0};
    size_t count = 0;
    if (read_object(input, wanted, 2) < 0 || !wanted[0].found || !take_string(&wanted[0].value, &word))
        return refuse(call, NXC_INVALID_ARGUMENT, "read the input: want {\"command\", \"args\"}");
    if (!is(word, "hello-c"))
        return refuse(call, NXC_UNSUPPORTED, "this command is none of hello-c's");
    if (!wanted[1].found)
        return NXC_OK;
    if (!take(args, '['))
        return refuse(call, NXC_INVALID_ARGUMENT, "args: want a list of strings");
    if (take(args, ']'))
        return NXC_OK;
    do {
        if (!take_string(args, &word))
            return refuse(call, NXC_INVALID_ARGUMENT, "args: want a list of strings");
        if (count++ == 0)
            *name = word;
    } while (take(args, ','));
    if (count > 1)
        return refuse(call, NXC_INVALID_ARGUMENT, "greet one at a time: at most one NAME");
    if (name->len > NAME_BYTES_MAX)
        return refuse(call, NXC_INVALID_ARGUMENT, "NAME is longer than 4096 bytes");
    return NXC_OK;
}

static int32_t help(void *ctx, uint64_t call, nxc_str input) {
    nxc_str name;
    int32_t status = read_arguments(call, input, &name);
    (void)ctx;
    if (status != NXC_OK)
        return status;
    return reply(call, lend("\"Greet somebody, the world if nobody is named.\\n\\nUsage: nexcage hello-c [NAME]\""));
}

static int32_t validate(void *ctx, uint64_t call, nxc_str input) {
    nxc_str name;
    (void)ctx;
    return read_arguments(call, input, &name);
}

static int32_t execute(void *ctx, uint64_t call, nxc_str input) {
    nxc_str name = lend("world");
    char copy[GREETING_MAX];
    int32_t status = read_arguments(call, input, &name);
    (void)ctx;
    if (status != NXC_OK)
        return status;
    while (atomic_flag_test_and_set(&greeting_lock))
        ;
    nxc_str greet = {copy, greeting_len};
    memcpy(copy, greeting, greeting_len);
    atomic_flag_clear(&greeting_lock);
    nxc_str parts[] = {lend("{\"exit_code\":0,\"stdout\":\""), greet, lend(", "), name, lend("!\\n\",\"stderr\":\"\"}")};
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == NXC_OK; i++)
        status = reply(call, parts[i]);
    return status;
}

/* The arguments are those of a line that is being typed, so they are not looked at. */
static int32_t complete(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)input;
    return reply(call, lend("[\"world\"]"));
}

static int32_t event(void *ctx, uint64_t call, nxc_str input) {
    member wanted = {"point", {0, 0}, 0};
    nxc_str point;
    (void)ctx;
    if (read_object(input, &wanted, 1) < 0 || !wanted.found || !take_string(&wanted.value, &point))
        return refuse(call, NXC_INVALID_ARGUMENT, "read the event: want {\"point\", \"data\"}");
    if (is(point, "system.startup"))
        host->log(host->ctx, NXC_LOG_INFO, lend("hello"), lend("hello has started"));
    return reply(call, lend("{\"verdict\":\"allow\"}"));
}

static const nxc_cli_command commands = {
    sizeof(nxc_cli_command), NXC_API_VERSION, list_commands, help, validate, execute, complete,
};
static const nxc_hook hook = {sizeof(nxc_hook), NXC_API_VERSION, event};

static const void *extension(void *ctx, nxc_str name) {
    const struct {
        const char *name;
        const void *table;
    } all[] = {{"nexcage.cli_command/1", &commands}, {"nexcage.hook/1", &hook}};
    (void)ctx;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strlen(all[i].name) == name.len && memcmp(all[i].name, name.ptr, name.len) == 0)
            return all[i].table;
    return 0;
}

static const nxc_plugin plugin = {
    sizeof(nxc_plugin), NXC_API_VERSION, 0,         {"hello-c", 7}, {"1.0.0", 5}, configure, nothing,
    configure,          health,          extension,
};

/* A host of another major version is refused: its structs are others. Every host of this one has the functions used here. */
int32_t nexcage_plugin_entry(uint32_t host_api, const nxc_host *offered, const nxc_plugin **out) {
    if (host_api >> 16 != NXC_API_VERSION >> 16)
        return NXC_UNSUPPORTED;
    host = offered;
    *out = &plugin;
    return NXC_OK;
}
