#include "anycall.h"

static uint64_t state;

void seed_dice(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < 8; i++)
		anything();
}

uint64_t anything(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1du;
}

uint32_t below(uint32_t limit)
{
	return (anything() >> 32) % limit;
}

int one_in(uint32_t chances)
{
	return below(chances) == 0;
}
