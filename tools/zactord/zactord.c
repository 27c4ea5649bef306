/**
 * zactord: a node whose actors come from shared objects.
 *
 *     zactord --load ./orders.so --root orders_driver --config zactor.conf
 *
 * A loaded object exports `const za_class_t *const *zactor_classes(void)`, a NULL-terminated list of
 * what other nodes may spawn here, and may export `const za_class_t *zactor_root(void)`.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zactor/zactor.h>

enum {
    EXIT_USAGE = 2,
    OBJECTS_MAX = 16,
    CLASSES_MAX = 256,
    ARGUMENTS_MAX = 256,
};

typedef const za_class_t *const *classes_fn(void);
typedef const za_class_t *root_fn(void);

typedef struct loader {
    const za_class_t *classes[CLASSES_MAX + 1]; // NULL-terminated
    size_t class_count;
    const za_class_t *root;
    const char *root_name; // --root
    size_t object_count;
    char *arguments[ARGUMENTS_MAX + 1]; // what is left for za_main
    int argument_count;
} loader_t;

/** ISO C converts no object pointer to a function pointer; POSIX makes them the same size. */
static bool find_function(void *object, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(object, name);
    memcpy(function, &symbol, size);
    return symbol != NULL;
}

static const za_class_t *find_class(const loader_t *loader, const char *name)
{
    for (size_t i = 0; i < loader->class_count; i++) {
        if (strcmp(loader->classes[i]->name, name) == 0) {
            return loader->classes[i];
        }
    }
    return NULL;
}

static bool add_class(loader_t *loader, const char *path, const za_class_t *class_)
{
    if (loader->class_count == CLASSES_MAX) {
        fprintf(stderr, "zactord: %s: more than %d classes\n", path, CLASSES_MAX);
        return false;
    }
    if (find_class(loader, class_->name) != NULL) {
        fprintf(stderr, "zactord: %s: there is a class %s already\n", path, class_->name);
        return false;
    }
    loader->classes[loader->class_count++] = class_;
    return true;
}

/** The object stays loaded until the process ends: its code may run until then. */
static bool load(loader_t *loader, const char *path)
{
    if (loader->object_count++ == OBJECTS_MAX) {
        fprintf(stderr, "zactord: more than %d objects to load\n", OBJECTS_MAX);
        return false;
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        fprintf(stderr, "zactord: %s\n", dlerror());
        return false;
    }
    classes_fn *classes = NULL;
    root_fn *root = NULL;
    if (!find_function(object, "zactor_classes", &classes, sizeof(classes))) {
        fprintf(stderr, "zactord: %s exports no zactor_classes\n", path);
        return false;
    }
    for (const za_class_t *const *class_ = classes(); *class_ != NULL; class_++) {
        if (!add_class(loader, path, *class_)) {
            return false;
        }
    }
    if (loader->root == NULL && find_function(object, "zactor_root", &root, sizeof(root))) {
        loader->root = root();
    }
    return true;
}

/** The value of `--name VALUE` or `--name=VALUE` at argv[*i]; NULL if it is another option. */
static const char *option_value(const char *name, int argc, char **argv, int *i)
{
    size_t size = strlen(name);
    if (strncmp(argv[*i], name, size) != 0) {
        return NULL;
    }
    if (argv[*i][size] == '=') {
        return argv[*i] + size + 1;
    }
    if (argv[*i][size] != '\0') {
        return NULL;
    }
    return *i + 1 < argc ? argv[++*i] : "";
}

static bool take_arguments(loader_t *loader, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *path = i > 0 ? option_value("--load", argc, argv, &i) : NULL;
        if (path != NULL) {
            if (!load(loader, path)) {
                return false;
            }
            continue;
        }
        const char *root = i > 0 ? option_value("--root", argc, argv, &i) : NULL;
        if (root != NULL) {
            loader->root_name = root;
            continue;
        }
        if (i > 0 && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            printf("zactord: a ZActor node whose actors come from shared objects\n"
                   "  --load FILE.so   take its classes (may be repeated)\n"
                   "  --root CLASS     run this class as root actor; default: the first object's\n"
                   "\n");
        }
        if (loader->argument_count == ARGUMENTS_MAX) {
            fprintf(stderr, "zactord: more than %d arguments\n", ARGUMENTS_MAX);
            return false;
        }
        loader->arguments[loader->argument_count++] = argv[i];
    }
    return true;
}

int main(int argc, char **argv)
{
    loader_t loader = { 0 };
    if (!take_arguments(&loader, argc, argv)) {
        return EXIT_USAGE;
    }
    if (loader.root_name != NULL) {
        loader.root = find_class(&loader, loader.root_name);
        if (loader.root == NULL) {
            fprintf(stderr, "zactord: no loaded object has a class %s\n", loader.root_name);
            return EXIT_USAGE;
        }
    }
    return za_main(loader.argument_count, loader.arguments, loader.root, loader.classes);
}
