/* A plugin that replies what it is given. Macros of the command line break it in one place each. */
#include "nexcage_plugin.h"

#ifndef VERSION
#define VERSION NXC_API_VERSION
#endif
#ifndef SIZE
#define SIZE sizeof(nxc_plugin)
#endif
#ifndef INIT
#define INIT nothing
#endif
#ifndef RESULT
#define RESULT NXC_OK
#endif
#ifndef ENTRY
#define ENTRY nexcage_plugin_entry
#endif

static const nxc_host *host;

int32_t nothing(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx, (void)call, (void)input;
    return NXC_OK;
}

static int32_t echo(void *ctx, uint64_t call, nxc_str input) {
    (void)ctx;
    return host->reply_write(host->ctx, call, input);
}

static const nxc_hook hook = {sizeof(nxc_hook), NXC_API_VERSION, echo};

static const void *extension(void *ctx, nxc_str name) {
    const char *wanted = "nexcage.hook/1";
    (void)ctx;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != wanted[i])
            return 0;
    return name.len == 14 ? &hook : 0;
}

static const nxc_plugin plugin = {
    SIZE, VERSION, 0, {"echo", 4}, {"1.0.0", 5}, INIT, nothing, nothing, echo, extension,
};

int32_t ENTRY(uint32_t host_api, const nxc_host *offered, const nxc_plugin **out);
int32_t ENTRY(uint32_t host_api, const nxc_host *offered, const nxc_plugin **out) {
    (void)host_api;
    host = offered;
    *out = &plugin;
#ifdef NO_TABLE
    *out = 0;
#endif
    return RESULT;
}
