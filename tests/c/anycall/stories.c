/* Calls that make sense one after the other, on files of their own: what single dice would hardly come to. */
#include "anycall.h"

#include <stddef.h>

struct story {
	enum kind files[3];
	int count;
	const char *calls[20];
};

static const struct story stories[] = {
	{ { IOASID }, 1,
	  { "ioasid alloc", "ioasid map", "ioasid map file", "ioasid map", "ioasid copy", "ioasid copy",
	    "ioasid unmap", "ioasid free" } },
	{ { IOASID, DEVICE }, 2,
	  { "ioasid alloc", "ioasid map", "authorize", "transfer", "transfer", "ioasid free", "revoke" } },
	{ { IOMMU }, 1,
	  { "ioas alloc", "ioas map", "ioas map file", "ioas map", "ioas copy", "ioas copy", "ioas unmap",
	    "destroy" } },
	{ { IOMMU, DEVICE }, 2,
	  { "ioas alloc", "ioas map", "bind", "attach", "transfer", "ioas unmap", "destroy", "detach" } },
	{ { IOMMU, DEVICE }, 2,
	  { "ioas alloc", "ioas map", "bind", "hwpt alloc", "hwpt alloc", "attach", "dirty tracking",
	    "transfer", "dirty bitmap", "dirty bitmap" } },
	{ { IOMMU, DEVICE }, 2,
	  { "ioas alloc", "bind", "hwpt alloc", "hwpt alloc", "viommu alloc", "viommu alloc", "vdevice alloc",
	    "veventq alloc", "hw queue alloc", "invalidate" } },
	{ { CONTAINER, GROUP }, 2,
	  { "set container", "set iommu", "type1 map", "group device", "device info", "type1 map",
	    "type1 unmap", "unset container" } },
	{ { VDPA, EVENT }, 2,
	  { "set owner", "set backend", "status driver", "plain features", "status features", "update",
	    "update by first version", "update", "queue size", "queue base", "queue memory", "queue kick",
	    "enable", "status ready", "kick", "kick", "suspend", "get base", "status" } },
	{ { VDPA, EVENT }, 2,
	  { "set owner", "set backend", "status driver", "plain features", "status features", "batch begin",
	    "update", "invalidate range", "batch end", "queue size", "queue memory", "queue call",
	    "enable", "status ready", "kick", "invalidate range", "status" } },
	{ { VDPA, IOASID }, 2,
	  { "ioasid alloc", "ioasid map", "set owner", "authorize space", "status driver", "plain features",
	    "status features", "queue size", "queue memory", "enable", "status ready", "kick",
	    "revoke space" } },
	{ { IOMMU }, 1,
	  { "ioas alloc", "ioas map", "mock domain", "test", "test", "hwpt alloc", "hwpt alloc",
	    "hwpt alloc nested", "hwpt alloc nested", "viommu alloc", "viommu alloc", "viommu alloc",
	    "vdevice alloc", "veventq alloc", "hw queue alloc", "invalidate", "invalidate", "test",
	    "destroy" } },
};

void tell_story(void)
{
	const struct story *story = &stories[below(sizeof stories / sizeof stories[0])];

	for (int i = 0; i < story->count; i++) {
		int fd;

		/* A device is open once at most. */
		close_all(story->files[i]);
		fd = open_one(story->files[i]);
		forget(fd);
		keep(story->files[i], fd);
		focus(story->files[i], fd);
	}
	for (int i = 0; story->calls[i] != NULL; i++)
		act_by_name(story->calls[i]);
	for (int i = 0; i < story->count; i++)
		focus(story->files[i], -1);
}
