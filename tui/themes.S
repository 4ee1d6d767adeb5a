/* The themes of themes/, as strings. */
	.section .rodata

.macro theme symbol, file
	.global \symbol
	.type \symbol, @object
\symbol:
	.incbin "\file"
	.byte 0
	.size \symbol, . - \symbol
.endm

	theme theme_dark, "dark.theme"
	theme theme_light, "light.theme"
	theme theme_contrast, "high-contrast.theme"
	theme theme_colorblind, "colour-blind.theme"
	theme theme_16, "16-colour.theme"
	theme theme_mono, "mono.theme"

	.section .note.GNU-stack, "", %progbits
