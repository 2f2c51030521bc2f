import { testMachineCodes } from '../testkit/assembler.js';
import { giveUpCode } from './attach.js';

testMachineCodes({ x64: giveUpCode });
