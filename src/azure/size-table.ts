/**
 * What is documented and what was seen of the sizes of Azure's virtual machines. The first row whose pattern matches counts.
 *
 * Columns, separated by tabs: name; pattern of the name behind `Standard_`, or of all of it if it begins with `^`, where `#` is
 * the number of CPUs, constrained ones included, and `%` a plain number; generation 2, nested virtualization and
 * acceptance by AKS, each `y`, `n` or `?`; sources, with what is in braces written out in {@link SOURCES}.
 */

/** Places that many rows name. */
export const SOURCES: Readonly<Record<string, string>> = {
  compute: "MicrosoftDocs/azure-compute-docs:articles/virtual-machines/sizes/",
  docs: "MicrosoftDocs/azure-docs:articles/virtual-machines/",
  aks: "MicrosoftDocs/azure-aks-docs:articles/aks/use-pod-sandboxing.md",
  lisa: "microsoft/lisa:lisa/sut_orchestrator/azure/features.py NestedVirtualization",
  survey: "gist.github.com/stknohg/d7b02f4d172d417045526e566e1b0dba (2022-06 survey of the docs)",
  seen: "AKS cluster of April 2025",
};

export const SIZE_ROWS: string = String.raw`
Standard_D2ls_v5	D2ls_v5	yyn	{seen}: AKS answers InvalidWorkloadRuntimeSettingError for this size; contradicts {compute}general-purpose/dlsv5-series.md (Supported); family absent from {lisa}
DCas_cc_v5	DC#as_cc_v5	yy?	{compute}general-purpose/dcasccv5-series.md
DCads_cc_v5	DC#ads_cc_v5	yy?	{compute}general-purpose/dcadsccv5-series.md
ECas_cc_v5	EC#as_cc_v5	yy?	{compute}memory-optimized/ecasccv5-ecadsccv5-series.md
ECads_cc_v5	EC#ads_cc_v5	yy?	{compute}memory-optimized/ecasccv5-ecadsccv5-series.md
DCsv2	DC#s?_v2	yn?	{compute}general-purpose/dcsv2-series.md; {survey}
DCsv3	DC#s_v3	yn?	{compute}general-purpose/dcsv3-series.md; {survey}
DCdsv3	DC#ds_v3	yn?	{survey}
DCasv5	DC#as_v5	yn?	{compute}general-purpose/dcasv5-series.md; {survey}
DCadsv5	DC#ads_v5	y??	{survey} lists unknown; sibling DCasv5 is no
DCasv6	DC#as_v6	yn?	{compute}general-purpose/dcasv6-series.md
DCadsv6	DC#ads_v6	y??	page not read; sibling DCasv6 is no
DCesv5	DC#es_v5	yn?	{docs}dcesv5-dcedsv5-series.md
DCedsv5	DC#eds_v5	yn?	{docs}dcesv5-dcedsv5-series.md
DCesv6	DC#es_v6	yn?	{compute}general-purpose/dcesv6-series.md
DCedsv6	DC#eds_v6	y??	page not read; sibling DCesv6 is no
ECasv5	EC#i?as_v5	yn?	{compute}memory-optimized/ecasv5-ecadsv5-series.md
ECadsv5	EC#i?ads_v5	y??	{compute}memory-optimized/ecasv5-ecadsv5-series.md (not listed either way; sibling ECasv5 no)
ECasv6/ECadsv6	EC#ad?s_v6	y??	page not read; sibling DCasv6 is no
ECesv5/ECedsv5	EC#i?ed?s_v5	y??	page not read
ECesv6/ECedsv6	EC#i?ed?s_v6	y??	page not read; sibling DCesv6 is no
A (v1)	^(Standard|Basic)_A%$	nn?	{docs}acu.md (*** footnote); {survey}
Av2	A%m?_v2	nn?	{docs}acu.md (*** footnote); {survey}
B (v1)	B%(ls|ms|s)	yn?	{compute}general-purpose/bv1-series.md; {survey}
Bsv2	B%(t|l)?s_v2	yn?	{compute}general-purpose/bsv2-series.md
Basv2	B%a(t|l)?s_v2	yn?	{compute}general-purpose/basv2-series.md
Bpsv2	B%p(t|l)?s_v2	yn?	{compute}general-purpose/bpsv2-series.md
D (v1)	D%	nn?	{docs}acu.md (*** footnote); {survey}
DS (v1)	DS#	yn?	{docs}acu.md (*** footnote); {survey}
Dv2	D#_v2	nn?	{compute}general-purpose/dv2-series.md; {survey}
DSv2	DS#_v2	yn?	{docs}acu.md (*** footnote); {survey}; {docs}generation-2.md table (learn.microsoft.com copy)
Dv3	D#_v3	ny?	{docs}acu.md (*** footnote); {lisa}; {survey}; gen from {docs}generation-2.md table (learn.microsoft.com copy)
Standard_D4s_v3	D4s_v3	yyy	{seen} (cluster created with it); example size of the AKS pod sandboxing guide
Dsv3	D#s_v3	yy?	{docs}acu.md (*** footnote); {lisa}; {survey}; {aks} (AKS example); {docs}generation-2.md table (learn.microsoft.com copy)
Dv4	D#_v4	yy?	{compute}general-purpose/dv4-series.md; {lisa}
Dsv4	D#s_v4	yy?	{docs}acu.md (*** footnote); {lisa}; {survey}
Ddv4	D#d_v4	yy?	{docs}acu.md (*** footnote); {lisa}; {survey}
Ddsv4	D#ds_v4	yy?	{compute}general-purpose/ddsv4-series.md; {lisa}
Dav4	D#a_v4	yn?	{survey}; not in {lisa}; generation 1 in older {docs}dav4-dasv4-series.md, both in {docs}generation-2.md table (learn.microsoft.com copy)
Dasv4	D#as_v4	yn?	{compute}general-purpose/dasv4-series.md
Dv5	D#_v5	yy?	{compute}general-purpose/dv5-series.md; {lisa}
Dsv5	D#s_v5	yy?	{compute}general-purpose/dsv5-series.md; {lisa}
Ddv5	D#d_v5	yy?	{docs}ddv5-ddsv5-series.md; {lisa}
Ddsv5	D#ds_v5	yy?	{docs}ddv5-ddsv5-series.md; {lisa}
Dlsv5	D#ls_v5	yy?	{compute}general-purpose/dlsv5-series.md (Supported) but AKS rejects D2ls_v5 ({seen}) and family absent from {lisa}
Dldsv5	D#lds_v5	yy?	{compute}general-purpose/dldsv5-series.md (Supported); AKS acceptance unverified, family absent from {lisa}
Dasv5	D#as_v5	yy?	{compute}general-purpose/dasv5-series.md; {lisa}
Dadsv5	D#ads_v5	yy?	{compute}general-purpose/dadsv5-series.md; {lisa}
Dpsv5	D#ps_v5	yn?	{compute}general-purpose/dpsv5-series.md
Dpdsv5/Dplsv5/Dpldsv5	D#(pds|pls|plds)_v5	yn?	Arm siblings of Dpsv5: {compute}general-purpose/dpsv5-series.md
Dsv6	D#s_v6	yy?	{compute}general-purpose/dsv6-series.md
Ddsv6	D#ds_v6	yy?	{compute}general-purpose/ddsv6-series.md
Dlsv6	D#ls_v6	yy?	{compute}general-purpose/dlsv6-series.md
Dldsv6	D#lds_v6	yy?	{compute}general-purpose/dldsv6-series.md
Dasv6	D#as_v6	yy?	{compute}general-purpose/dasv6-series.md
Dadsv6	D#ads_v6	yy?	{compute}general-purpose/dadsv6-series.md
Dalsv6	D#als_v6	yy?	{compute}general-purpose/dalsv6-series.md
Daldsv6	D#alds_v6	y??	feature section of {compute}general-purpose/daldsv6-series.md not read; sibling Dalsv6 is yes
Dpsv6	D#ps_v6	yn?	{compute}general-purpose/dpsv6-series.md
Dpdsv6/Dplsv6/Dpldsv6	D#(pds|pls|plds)_v6	yn?	Arm siblings of Dpsv6: {compute}general-purpose/dpsv6-series.md
Dnsv6/Dndsv6/Dnlsv6/Dnldsv6	D#n(l)?(d)?s_v6	y??	pages not read ({compute}memory-optimized/dnsv6-series.md and others)
Dsv7	D#s_v7	yy?	{compute}general-purpose/dsv7-series.md
Ddsv7	D#ds_v7	y??	feature section not read; sibling Dsv7 is yes
Dlsv7/Dldsv7	D#ld?s_v7	y??	feature section not read; sibling Dsv7 is yes
Dasv7	D#as_v7	yy?	{compute}general-purpose/dasv7-series.md
Dadsv7	D#ads_v7	yy?	{compute}general-purpose/dadsv7-series.md
Dalsv7	D#als_v7	yy?	{compute}general-purpose/dalsv7-series.md
Daldsv7	D#alds_v7	y??	page not read; sibling Dalsv7 is yes
Ev3	E#i?_v3	ny?	{compute}memory-optimized/ev3-esv3-series.md; {lisa}
Esv3	E#i?s_v3	yy?	{compute}memory-optimized/ev3-esv3-series.md; {lisa}
Ev4	E#_v4	yy?	{compute}memory-optimized/ev4-series.md; {lisa}
Esv4	E#i?s_v4	yy?	{docs}acu.md (*** footnote); {lisa}; {survey}
Edv4	E#d_v4	yy?	{docs}acu.md (*** footnote); {lisa}; {survey}
Edsv4	E#i?ds_v4	yy?	{docs}acu.md (*** footnote); {lisa}; {survey}
Eav4	E#a_v4	yn?	{survey}; not in {lisa}
Easv4	E#as_v4	yn?	{compute}memory-optimized/easv4-series.md
Ev5	E#i?_v5	yy?	{lisa}; {survey}
Esv5	E#i?s_v5	yy?	{compute}memory-optimized/esv5-series.md; {lisa}
Edv5	E#i?d_v5	yy?	{lisa}; {survey}
Edsv5	E#i?ds_v5	yy?	{lisa}; {survey}
Ebsv5	E#i?bs_v5	yy?	{compute}memory-optimized/ebdsv5-ebsv5-series.md; {lisa}
Ebdsv5	E#i?bds_v5	yy?	{compute}memory-optimized/ebdsv5-ebsv5-series.md; {lisa}
Easv5	E#i?as_v5	yy?	{compute}memory-optimized/easv5-series.md; {lisa}
Eadsv5	E#i?ads_v5	yy?	{lisa}
Epsv5	E#ps_v5	yn?	{compute}memory-optimized/epsv5-series.md
Epdsv5	E#pds_v5	yn?	Arm sibling of Epsv5: {compute}memory-optimized/epsv5-series.md
Esv6	E#i?s_v6	yy?	{compute}memory-optimized/esv6-series.md; {lisa} (pattern)
Edsv6	E#i?ds_v6	yy?	{lisa} (pattern ^standarded?sv\d+family$)
Ebsv6	E#i?bs_v6	yy?	{compute}memory-optimized/ebsv6-series.md; {lisa} (pattern)
Ebdsv6	E#i?bds_v6	yy?	{lisa} (pattern ^standardebd?sv\d+family$)
Easv6	E#as_v6	yy?	{compute}memory-optimized/easv6-series.md
Eadsv6	E#ads_v6	yy?	{compute}memory-optimized/eadsv6-series.md
Epsv6/Epdsv6	E#pd?s_v6	yn?	Arm siblings of Dpsv6/Epsv5; {compute}general-purpose/dpsv6-series.md
Ensv6/Endsv6	E#nd?s_v6	y??	pages not read
Esv7	E#i?s_v7	yy?	{compute}memory-optimized/esv7-series.md; {lisa} (pattern)
Edsv7	E#i?ds_v7	yy?	{lisa} (pattern)
Easv7	E#as_v7	yy?	{compute}memory-optimized/easv7-series.md
Eadsv7	E#ads_v7	y??	page not read; sibling Easv7 is yes
F (v1)	F%	nn?	{docs}acu.md (*** footnote)
Fs (v1)	F%s	yn?	{docs}acu.md (*** footnote)
Fsv2	F#s_v2	yy?	{docs}fsv2-series.md; {lisa}
Fasv6	F#as_v6	yy?	{compute}compute-optimized/fasv6-series.md
Falsv6	F#als_v6	yy?	{compute}compute-optimized/falsv6-series.md
Famsv6	F#ams_v6	y??	page not read; siblings Fasv6 and Falsv6 are yes
Fasv7/Fadsv7/Falsv7/Faldsv7/Famsv7/Famdsv7	F#a(l|m)?d?s_v7	y??	pages not read; sibling Fasv6 is yes
FX (v1)	FX%mds	yy?	{compute}compute-optimized/fx-series.md; {lisa}
FXmsv2	FX#ms_v2	yy?	{compute}compute-optimized/fxmsv2-series.md
FXmdsv2	FX#mds_v2	y??	page not read; sibling FXmsv2 is yes
G	G%	nn?	{docs}acu.md (*** footnote)
GS	GS#	nn?	{docs}acu.md (*** footnote)
H	H%m?r?	nn?	{docs}acu.md (*** footnote)
HB	HB60(-%)?rs	yn?	{docs}acu.md (*** footnote)
HBv2	HB#rs_v2	yn?	predecessor of {compute}high-performance-compute/hbv3-series.md
HBv3	HB#rs_v3	yn?	{compute}high-performance-compute/hbv3-series.md
HBv4	HB#rs_v4	y??	page not read; HBv3 is no
HBv5	HB#rs_v5	y??	page not read; HBv3 is no
HX	HX#rs	y??	page not read; HBv3 is no
HC	HC#rs	yn?	{docs}acu.md (*** footnote)
Ls (v1)	L%s	nn?	{docs}acu.md (*** footnote)
Lsv2	L#s_v2	yn?	{compute}storage-optimized/lsv2-series.md
Lsv3	L#s_v3	yy?	{compute}storage-optimized/lsv3-series.md; {lisa}
Lasv3	L#as_v3	yy?	{compute}storage-optimized/lasv3-series.md; {lisa}
Lsv4	L#s_v4	yy?	{compute}storage-optimized/lsv4-series.md
Lasv4	L#as_v4	yy?	{compute}storage-optimized/lasv4-series.md
Laosv4	L#aos_v4	y??	page not read; sibling Lasv4 is yes
Lasv5/Laosv5	L#ao?s_v5	y??	pages not read
M (v1)	M#(m|t|l)?s?	yy?	{docs}acu.md (*** footnote); {lisa} (standardmsfamily); current page does not list the feature
Msv2 medium memory	M(32|64|128|192)(-%)?i?m?s_v2	yn?	{docs}msv2-mdsv2-series.md (Not Supported; generation 2 only); conflicts with {lisa} (standardmsmediummemoryv2family listed)
Mdsv2 medium memory	M(32|64|128|192)(-%)?i?dm?s_v2	yn?	{docs}msv2-mdsv2-series.md
Mv2 (208/416)	M(208|416)(-%)?i?m?s_v2	y??	{docs}mv2-series.md (generation 2 only; feature not mentioned)
Msv3/Mdsv3 medium memory	M(12|24|48|96|176)(-%)?d?s(_\d)?_v3	yn?	{docs}msv3-mdsv3-medium-series.md
Mbsv3	M#bs_v3	yn?	{compute}memory-optimized/mbsv3-series.md
Mbdsv3	M#bds_v3	y??	page not read; sibling Mbsv3 is no
Msv3/Mdsv3 high memory and Mv4	M%.*_v(3|4)	y??	pages not read
NCasT4_v3	NC%as_T4_v3	yn?	{compute}gpu-accelerated/ncast4v3-series.md
NC_A100_v4	NC%ads_A100_v4	yn?	{compute}gpu-accelerated/nca100v4-series.md
NVadsA10_v5	NV%adm?s_A10_v5	yn?	{compute}gpu-accelerated/nvadsa10v5-series.md
NVv4	NV%as_v4	yn?	{docs}acu.md (*** footnote) (SMT mark only)
other N series	N[A-Z]+%.*	???	pages not read; every N page read says Not Supported`;
