# To be sourced: LEVEL=avx2 limits chainrule and PyTorch to AVX2 on a processor that has AVX-512.
case ${LEVEL:-} in
  '') ;;
  avx2) export CHAINRULE_CPU=avx2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 ;;
  *) echo "LEVEL=$LEVEL: only avx2 is known" >&2; exit 2 ;;
esac
